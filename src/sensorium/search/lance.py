"""LanceDB: rows in a folder, or in a bucket behind `s3://…`, that are larger than memory and survive whoever is killed.

What its defaults would do to us is written beside what is done instead; docs/guide/search.md tells it to people.
"""

import json
import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock, RLock, local
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import SensoriumError, need
from sensorium.search.exact import Vectors, among, beside, by_pass, candidates, nearest, of_table, recall
from sensorium.search.lance_again import Looked, again, declare
from sensorium.search.lance_sql import sql
from sensorium.search.lance_ways import ways
from sensorium.search.precision import of_column, rounded, size
from sensorium.search.store import KEY, Found, Index, checked, checked_filter, checked_query, places_of, steadily, vectors
from sensorium.search.where import Compare, Every, Where

EXACT = 200_000
"""Up to so many vectors (that meet a filter) are compared one by one: a product of f32 is faster than Lance's own search, which
decodes the column each time. Beyond it there has to be an index."""
KEPT = 768 << 20
"""Bytes of vectors that are kept for the next query."""
CACHES = {"index_cache_size_bytes": 256 << 20, "metadata_cache_size_bytes": 64 << 20}  # 6 GB and 1 GB unless told
GOOD, ENOUGH, SAMPLE, NEAREST, REFINE, PROBES = 0.99, 0.001, 100, 10, 10, 20
_MORE = {"f32": 1.0, "f16": 1.0, "int8": math.inf, "binary": 32.0}
"""How many times `exact` are compared one by one: LanceDB knows no index of int8, and bits are compared that much faster."""
_TOGETHER, _KEYS = 64, 5000  # queries that are sent at once; rows from which their keys have an index
_ROWS, _ABOUT = "rows", "about"


class Lance:
    """The driver: of what lies at a path or an address now, or of one `version` of it, for reading. Many threads may share it: a
    lock keeps what is remembered from call to call, so that one of them loads vectors and the others wait for these."""

    def __init__(self, uri: Path | str, exact: int = EXACT, version: int | None = None):
        self._lancedb = need("lancedb", "search", "a collection on disk")
        self.uri, self.exact, self._fixed = str(uri), exact, version
        self._lock, self._opening = RLock(), Lock()  # who only looks something up does not wait for vectors to be read
        self._looked = local()  # in `steady`: what this thread has looked at
        self._open: dict[str, Any] = {}
        self._schema: tuple[int, pa.Schema] = 0, pa.schema([])
        self._said: tuple[int, dict[str, str]] = -1, {}
        self._counts: dict[tuple[str | None, int], int] = {}
        self._kept: OrderedDict[tuple[str, int, Where | None], Vectors] = OrderedDict()

    @cached_property
    def _db(self) -> Any:
        """Connected when something is written, or is there to be read: a folder would be made by it."""
        return self._lancedb.connect(self.uri, session=self._lancedb.Session(**CACHES))

    @property
    def about(self) -> dict[str, Any]:
        return self._told("about")

    @property
    @steadily
    def schema(self) -> pa.Schema:
        version, (of, schema) = self.version, self._schema
        if version != of:  # asking for it costs more than all else that a query does here
            schema = self._table(_ROWS).schema.remove_metadata() if version else pa.schema([])
            if schema.names == [KEY] and not self.count():  # all was erased
                schema = pa.schema([])
            self._schema = version, schema
        return schema

    @property
    def version(self) -> int:
        table, looked = self._table(_ROWS), self._looks()
        if table is None or looked is None or looked.writes:
            return 0 if table is None else int(table.version)
        looked.version = int(table.version) if looked.version is None else looked.version
        return looked.version

    @again
    def describe(self, about: dict[str, Any]) -> None:
        self._tell("about", about)

    @again
    @steadily
    def upsert(self, rows: pa.Table, instead_of: Where | None = None) -> None:
        self._writable()
        was = self.schema
        new = checked(rows, was)
        table = self._table(_ROWS)
        if table is None:
            table = self._made(_ROWS, new.schema, KEY)
        else:
            declare(table, KEY)
            if more := [field for field in new.schema if field.name not in (KEY, *was.names)]:
                table.add_columns(pa.schema(more))
        # `add` has no keys, and a retry would double the rows. The key is declared as such, or two writers would.
        step = table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
        if instead_of is not None:
            checked_filter(new.schema, instead_of)
            step = step.when_not_matched_by_source_delete(sql(instead_of))
        step.execute(new, on_bad_vectors="null")  # null is no bad vector to us; NaN was refused before

    @again
    @steadily
    def delete(self, where: Where) -> int:
        self._writable()
        table = self._table(_ROWS)
        if table is None:
            return 0
        checked_filter(table.schema, where)
        return int(table.delete(sql(where)).num_deleted_rows)

    @steadily
    def search(self, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where | None = None) -> list[list[Found]]:
        schema = self.schema
        checked_query(schema, name, queries, k)
        kind, most = schema.field(name).type, self._most(schema, name)
        few = self._counted() <= most
        index = {} if few else self._told("indexes").get(name, {})
        # Where there is an index nothing is counted, as the whole column would be read for it.
        if few or (not index and self._counted(name) <= most):
            if most == math.inf and self._counted() * size(kind) > KEPT:
                return by_pass(self._batches(name, where), name, queries, k)
            loaded = self._load(name, None)
            if where is None:
                return nearest(loaded, queries, k)
            return nearest(loaded, queries, k, among(loaded, self._query([KEY], where).to_arrow()[KEY]))
        # An index looks into a few of its cells, where few rows, or none, may meet a filter: these are looked at one by one.
        probes = index.get("probes", PROBES)
        if where is not None:
            if (met := self.count(where)) <= most:
                return nearest(self._load(name, where), queries, k)
            probes *= math.ceil(self._counted() / met)
        return self._approximate(name, queries, k, where, probes)

    @steadily
    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        wanted = list(dict.fromkeys(ids))
        names = list(self.schema.names if columns is None else columns)
        parts = []
        for start in range(0, len(wanted), 1000):
            parts += self._read(list(dict.fromkeys([KEY, *names])), Compare(KEY, "in", tuple(wanted[start : start + 1000])))
        found = pa.concat_tables(parts) if parts else self.schema.empty_table()
        places = places_of({key: place for place, key in enumerate(found[KEY].to_pylist() if parts else [])}, ids)
        return found.select(names).take(pa.array(places, pa.int64()))

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        after: str | None = None,
        rows: int = 1024,
        most: int | None = None,
    ) -> Iterator[pa.Table]:
        if not self.version:
            return
        parts = [] if where is None else [where]
        parts += [] if after is None else [Compare(KEY, ">", after)]
        frozen = Lance(self.uri, self.exact, self.version)
        names = list(frozen.schema.names if columns is None else columns)
        found = frozen._query([KEY], Every(tuple(parts))).with_row_id(True)
        if most is not None:  # the first few are found without the keys of all
            found = found.order_by([self._lancedb.query.ColumnOrdering(column_name=KEY)]).limit(most)
        numbers, table = found.to_arrow().sort_by(KEY)["_rowid"].to_pylist(), frozen._table(_ROWS)
        for start in range(0, len(numbers), rows):
            some = table.take_row_ids(numbers[start : start + rows]).select([*dict.fromkeys([KEY, *names])])
            yield some.to_arrow().sort_by(KEY).select(names)  # they come in any order

    @steadily
    def count(self, where: Where | None = None) -> int:
        table = self._table(_ROWS)
        if table is None:
            return 0
        if where is None:
            return table.count_rows()
        checked_filter(self.schema, where)
        return table.count_rows(sql(where))

    @again
    @steadily
    def optimize(self) -> dict[str, Index]:
        self._writable()
        table, out = self._table(_ROWS), {}
        if table is None:
            return out
        table.optimize(cleanup_older_than=timedelta(days=1))  # small writes pile up fragments and versions
        for name in vectors(self.schema):
            start, rows = time.perf_counter(), self._counted(name)
            kind, found = ("exact", 1.0) if rows <= self._most(self.schema, name) else self._index(table, name)
            out[name] = Index(kind, rows, found, round(time.perf_counter() - start, 3))
        if self.count() > min(self.exact, _KEYS):
            from lancedb.index import BTree

            table.create_index(KEY, config=BTree(), replace=True)
        return out

    def snapshot(self) -> "Lance":
        made = Lance(self.uri, self.exact, self.version)
        made.about  # noqa: B018  opened now, as it may be told anew later
        return made

    def close(self) -> None:
        with self._lock, self._opening:
            self._open.clear()
            self._kept.clear()
            self._counts.clear()
            self._schema, self._said = (0, pa.schema([])), (-1, {})

    @again
    @steadily
    def erase(self) -> None:
        """Removes all rows, columns, and what was said of them. The versions go on, so that whoever has it open sees that, and
        who reads a snapshot reads on; so the files stay until they are tidied up, a day later."""
        self._writable()
        if (table := self._table(_ROWS)) is not None:
            self._made(_ROWS, pa.schema([table.schema.field(KEY)]), KEY, "overwrite")
        if (table := self._table(_ABOUT)) is not None:
            table.delete("true")

    def reopen(self) -> None:
        """Lets go of the tables, as somebody else has changed them; the next verb opens them as they are then."""
        with self._opening:
            self._open.clear()

    @contextmanager
    def steady(self) -> Iterator[None]:
        outer = self._looks()
        self._looked.at = Looked() if outer is None else outer
        try:
            yield
        finally:
            self._looked.at = outer

    def _table(self, name: str) -> Any:
        """An open table as it is now, or was when this thread looked; None where there is none yet. LanceDB would never look for
        what others wrote, or at each of the many steps of a query, and to look is to list a folder."""
        if self._fixed == 0:  # a snapshot of nothing
            return None
        looked, there = self._looks(), self._opened(name)
        if there is not None and self._fixed is None and (looked is None or name not in looked.tables):
            there.checkout_latest()
            if looked is not None:
                looked.tables.add(name)
        return there

    def _looks(self) -> "Looked | None":
        return getattr(self._looked, "at", None)

    def _opened(self, name: str) -> Any:
        with self._opening:
            if name not in self._open:
                if "://" not in self.uri and not Path(self.uri).is_dir():
                    return None
                try:
                    found = self._db.open_table(name)
                except ValueError as error:
                    if "was not found" in str(error):
                        return None
                    raise
                if self._fixed is not None:
                    found.checkout(self._fixed if name == _ROWS else found.version)
                self._open[name] = found
            return self._open[name]

    def _made(self, name: str, schema: pa.Schema, key: str, mode: str = "create") -> Any:
        made = self._db.create_table(name, schema=schema, mode=mode, exist_ok=mode == "create")
        declare(made, key)
        self._open[name] = made
        return made

    def _told(self, key: str) -> dict[str, Any]:
        table = self._table(_ABOUT)
        if table is None:
            return {}
        version, (of, found) = int(table.version), self._said
        if version != of:
            told = table.to_arrow()
            found = dict(zip(told["key"].to_pylist(), told["value"].to_pylist(), strict=True))
            self._said = version, found
        return json.loads(found.get(key, "{}"))

    def _tell(self, key: str, value: dict[str, Any]) -> None:
        self._writable()
        text = json.dumps(value, allow_nan=False)
        schema = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string())])
        table = self._table(_ABOUT)
        table = self._made(_ABOUT, schema, "key") if table is None else table
        row = pa.table({"key": [key], "value": [text]}, schema=schema)
        table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(row)

    def _writable(self) -> None:
        if self._fixed is not None:
            raise SensoriumError("a snapshot is for reading: write into the store that it was taken of")
        if (looked := self._looks()) is not None:
            looked.writes = True

    def _query(self, columns: Sequence[str], where: Where) -> Any:
        checked_filter(self.schema, where)
        query = self._table(_ROWS).search().select(list(columns))
        return query if where == Every(()) else query.where(sql(where))

    def _read(self, columns: Sequence[str], where: Where) -> list[pa.Table]:
        return [self._query(columns, where).to_arrow()] if self.version else []

    def _counted(self, known: str | None = None) -> int:
        """How many rows there are, or have a vector; counted once a version, as the whole column is read for it."""
        key = (known, self.version)
        count = self._counts.get(key)
        if count is None:  # without the lock: whoever reads vectors holds it for long
            count = self.count(None if known is None else Compare(known, "known"))
            self._counts = {old: n for old, n in self._counts.items() if old[1] == key[1]} | {key: count}
        return count

    def _most(self, schema: pa.Schema, name: str) -> float:
        """How many vectors of a column are compared one by one."""
        return self.exact * _MORE[str(of_column(schema.field(name).type))]

    def _batches(self, name: str, where: Where | None = None) -> Iterator[pa.Table]:
        """The keys and vectors of a column (of the rows that meet a filter), a few at once."""
        having = Compare(name, "known")
        query = self._query([KEY, name], having if where is None else Every((having, where)))
        return (pa.Table.from_batches([batch]) for batch in query.to_batches(8192))

    def _load(self, name: str, where: Where | None) -> Vectors:
        """The vectors of a column (of the rows that meet a filter), kept until the rows change."""
        key = (name, self.version, where)
        with self._lock:
            if key not in self._kept:
                table = self._query([KEY, name], Every(()) if where is None else where).to_arrow()
                for old in [old for old in self._kept if old[1] != key[1]]:
                    del self._kept[old]
                self._kept[key] = of_table(table, name)
                while len(self._kept) > 1 and sum(one.x.nbytes for one in self._kept.values()) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _approximate(
        self, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where | None, probes: int
    ) -> list[list[Found]]:
        """By the index, of which so many cells are looked into; without one Lance looks at everything. Some queries at once
        share the processors."""
        out: list[list[Found]] = []
        table = self._table(_ROWS)
        precision = of_column(table.schema.field(name).type)
        binary, exact = precision == "binary", precision == "f32"  # else Lance rounds the query too: its scores are not ours
        for start in range(0, len(queries), step := _TOGETHER if exact else 1):  # it takes several of f32 alone
            some = np.asarray(queries[start : start + step], np.float32)
            sent, many = rounded(some, "binary") if binary else some, len(some) > 1
            asked = table.search(list(sent) if many else sent[0], vector_column_name=name)
            asked = asked.distance_type("hamming" if binary else "dot").nprobes(probes)
            asked = asked if binary else asked.refine_factor(REFINE)
            asked = asked if where is None else asked.where(sql(where))
            columns = [KEY, "_distance", *(["query_index"] if many else []), *([] if exact else [name])]
            found = asked.select(columns).limit(candidates(k) if binary else k).to_arrow()  # `_distance` unasked for is a warning
            which = np.asarray(found["query_index"]) if many else np.zeros(len(found))
            for i, query in enumerate(some):
                own = found.filter(pa.array(which == i))
                if exact:
                    hits = [Found(key, 1 - far) for key, far in zip(*(own[c].to_pylist() for c in columns[:2]), strict=True)]
                    out.append(sorted(hits, key=lambda hit: (-hit.score, hit.id)))
                else:
                    out += nearest(of_table(own, name), query[None], k)
        return out

    def _index(self, table: Any, name: str) -> tuple[str, float]:
        """Makes or refreshes the index of a column, and looks into as many of its cells as a good recall takes."""
        known, kind = self._told("indexes"), table.schema.field(name).type
        queries = self._sample(name)
        exact = by_pass(self._batches(name), name, queries, NEAREST)
        cells = max(1, math.ceil(math.sqrt(table.count_rows())))
        possible = ways(kind, cells)
        there, found = known.get(name), 0.0
        for told in [*([there] if there else []), *({"kind": way, "probes": PROBES, "cells": cells} for way in possible)]:
            if told is not there:
                table.create_index(name, config=possible[told["kind"]](), replace=True)
            probes, most, before = told["probes"], told.get("cells", PROBES), -1.0
            while (found := recall(self._approximate(name, queries, NEAREST, None, probes), exact)) < GOOD and probes < most:
                if found < before + ENOUGH:  # what it lacks is not in other cells
                    break
                probes, before = min(most, math.ceil(probes * 1.5)), found
            known[name] = {"kind": told.get("kind", "IVF_SQ"), "probes": probes, "recall": found, "cells": most}
            if found >= GOOD:
                break
        self._tell("indexes", known)
        return known[name]["kind"], found

    def _sample(self, name: str) -> Float[np.ndarray, "Q D"]:
        """Vectors of rows spread over all keys, a little off their places, as queries are."""
        keys = np.sort(np.array(self._read([KEY], Compare(name, "known"))[0][KEY].to_pylist(), object))
        some = keys[np.linspace(0, len(keys) - 1, min(SAMPLE, len(keys))).astype(int)]
        return beside(of_table(self.get(sorted(set(some.tolist())), [KEY, name]), name).numbers())
