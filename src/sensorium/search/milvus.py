"""Milvus: rows on a server, or in a file of milvus-lite (which is the same server, inside this process).

A place is one database of a server, `milvus://host:port/db` (Milvus 2.6 or newer; `MILVUS_TOKEN` in the environment is
`user:password`, where it wants one), or a file, `milvus:///path/to/name.db`. What Milvus lacks is made of what it has:

* Nothing of it is done in one step, and nothing stays as it was for whoever reads. So each row says in which version it came
  (`_born`) and went (`_died`); a verb writes rows of a version that nobody looks at, and its last step is one small row that
  names that version. What a killed writer left the next one takes back. Rows that went stay for a day, for those who still read.
* No vector is null: zeros stand there, with a truth value beside them that every search filters by.
* Columns of vectors cannot be added: the rows are copied into a new table when rows bring a new column.
* Vectors are kept as f32, whatever their precision (milvus-lite knows nothing else): f16, int8 and binary find what they find
  elsewhere, and save no memory here.
* A text has at most 65,535 bytes, a picture 49,149. A server takes 4 columns of vectors unless its
  `proxy.maxVectorFieldNum` is raised.

One may write at a time: threads of a process wait for each other; another process is found out when it commits, mostly.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import SensoriumError
from sensorium.search.exact import beside, by_pass, candidates, nearest, of_table, recall
from sensorium.search.milvus_form import BORN, DIED, ROW, as_numbers, entities, expression, field, has, metric, rows_of
from sensorium.search.milvus_tables import Head, Tables
from sensorium.search.precision import of_column, rounded
from sensorium.search.store import KEY, Found, Index, checked, checked_filter, checked_query, places_of, vectors
from sensorium.search.where import Compare, Every, Where

EXACT = 100_000
"""Up to so many vectors are compared one by one, by Milvus; beyond it has an index (HNSW)."""
FEW = 10_000
"""Where there is an index and so few rows meet a filter, these are read and compared here: a graph finds them badly."""
MOST = 16_384
"""Hits that Milvus gives at once."""
GOOD, SAMPLE, NEAREST = 0.99, 100, 10
_EF = (64, 128, 256, 512, 1024)
_TOGETHER, _READ, _AMONG = 64, 256, 1000  # queries, rows and keys a call
_SPARE = 16  # hits asked for beyond `k`, to see whether more are equal to the last
_A_WRITE = 1 << 21  # rows: what their numbers have room for


class Milvus:
    """The driver: of what is at a place now, or of what was there at one `head`, for reading."""

    def __init__(self, uri: str, exact: int = EXACT, create: bool = True):
        self.uri, self.exact, self.tables = uri, exact, Tables(uri, create)
        self._fixed: Head | None = None
        self._fixed_about: dict[str, Any] = {}

    @property
    def about(self) -> dict[str, Any]:
        return self.tables.told().get("about", {}) if self._fixed is None else self._fixed_about

    @property
    def schema(self) -> pa.Schema:
        return self._head().schema

    @property
    def version(self) -> int:
        return self._head().version

    def describe(self, about: dict[str, Any]) -> None:
        self._writable()
        with self.tables.lock:
            self.tables.tell("about", about)

    def upsert(self, rows: pa.Table, instead_of: Where | None = None) -> None:
        self._writable()
        with self.tables.lock:
            head = self.tables.begun()
            new = checked(rows, head.schema)
            if len(new) >= _A_WRITE:
                raise SensoriumError(f"{len(new)} rows at once: write fewer than {_A_WRITE:,} at a time")
            if instead_of is not None:
                checked_filter(new.schema, instead_of)
            version = head.next()
            made = entities(new, range(version * _A_WRITE, version * _A_WRITE + len(new)), version)
            grows = not head.table or len(new.schema) > len(head.schema)
            table = self._grown(head, new.schema, version) if grows else head.table
            then = Head(version if grows else head.version, table, new.schema, head.slot)  # what is in that table, if new
            gone = set(self._places(then, new[KEY].to_pylist()).values())
            gone |= set() if instead_of is None else {number for _, number in self._pairs(then, instead_of)}
            self.tables.end(table, sorted(gone), version)
            self.tables.put(table, made, new.nbytes)
            self.tables.commit(head, version, table, new.schema)

    def delete(self, where: Where) -> int:
        self._writable()
        with self.tables.lock:
            head = self.tables.begun()
            if not head.table:
                return 0
            checked_filter(head.schema, where)
            gone = [number for _, number in self._pairs(head, where)]
            if gone:
                version = head.next()
                self.tables.end(head.table, gone, version)
                self.tables.commit(head, version, head.table, head.schema)
            return len(gone)

    def search(self, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where | None = None) -> list[list[Found]]:
        told = self.tables.told()
        head = self.tables.head(told) if self._fixed is None else self._fixed
        checked_query(head.schema, name, queries, k)
        known = Compare(name, "known")
        asked = known if where is None else Every((known, where))
        checked_filter(head.schema, asked)
        index = told.get("indexes", {}).get(head.table, {}).get(name, {})
        few = bool(index) and where is not None and self._counted(head, asked) <= FEW
        most = candidates(k) if of_column(head.schema.field(name).type) == "binary" else k
        if few or most + _SPARE > MOST:
            return by_pass(self._pages(head, [KEY, name], asked), name, queries, k)
        out: list[list[Found]] = []
        for start in range(0, len(queries), _TOGETHER):
            out += self._asked(head, name, queries[start : start + _TOGETHER], k, asked, index.get("ef"))
        return out

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        head, wanted = self._head(), list(dict.fromkeys(ids))
        found = self._read(head, places_of(self._places(head, wanted), wanted), columns)
        return found.take(pa.array(places_of({key: place for place, key in enumerate(wanted)}, ids), pa.int64()))

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        after: str | None = None,
        rows: int = 1024,
        most: int | None = None,
    ) -> Iterator[pa.Table]:
        parts = [] if where is None else [where]
        parts += [] if after is None else [Compare(KEY, ">", after)]
        head = self._head()
        if head.table:
            checked_filter(head.schema, Every(tuple(parts)))
            yield from self._pages(head, columns, Every(tuple(parts)), rows, most)

    def count(self, where: Where | None = None) -> int:
        head = self._head()
        if where is not None and head.table:
            checked_filter(head.schema, where)
        return self._counted(head, Every(()) if where is None else where)

    def optimize(self) -> dict[str, Index]:
        self._writable()
        out: dict[str, Index] = {}
        with self.tables.lock:
            head = self.tables.begun()
            if not head.table:
                return out
            self.tables.forget(head)
            told: dict[str, Any] = self.tables.told().get("indexes", {}).get(head.table, {})
            for name in vectors(head.schema):
                start, known = time.perf_counter(), self._counted(head, Compare(name, "known"))
                kind, found = "exact", 1.0
                if name in told or known > self.exact:
                    told[name] = self._graph(head, name, name in told)
                    kind, found = "HNSW", told[name]["recall"]
                    self.tables.tell("indexes", {head.table: told})
                out[name] = Index(kind, known, found, round(time.perf_counter() - start, 3))
        return out

    def snapshot(self) -> "Milvus":
        made = Milvus(self.uri, self.exact)
        made._fixed, made._fixed_about = self._head(), self.about
        return made

    def steady(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        """Lets go of the connection; the next call makes another. A file stays this process's until it ends."""
        self.tables.close()

    def erase(self) -> None:
        """Removes all rows, columns, and what was said of them."""
        self._writable()
        self.tables.erase()

    def _head(self) -> Head:
        return self.tables.head() if self._fixed is None else self._fixed

    def _grown(self, head: Head, schema: pa.Schema, version: int) -> str:
        """A new table with these columns and the rows that there are."""
        made = self.tables.made(schema, version)
        numbers = [number for _, number in self._pairs(head, Every(()))]
        for start in range(0, len(numbers), _READ):
            some = numbers[start : start + _READ]
            rows = self._read(head, some, None)
            columns = [rows[c.name] if c.name in rows.column_names else pa.nulls(len(rows), c.type) for c in schema]
            rows = pa.table(columns, schema=schema)
            self.tables.put(made, entities(rows, some, version), rows.nbytes)
        return made

    def _pairs(self, head: Head, where: Where) -> list[tuple[str, int]]:
        """Keys and numbers of the rows that meet a filter, by key."""
        if not head.table:
            return []
        found = self.tables.every(head.table, _there(head, where), [ROW, field(KEY)])
        return sorted((row[field(KEY)], row[ROW]) for row in found)

    def _places(self, head: Head, keys: Sequence[str]) -> dict[str, int]:
        """Numbers of the rows of some keys, of those that there are."""
        parts = [Compare(KEY, "in", tuple(keys[start : start + _AMONG])) for start in range(0, len(keys), _AMONG)]
        return {key: number for part in parts for key, number in self._pairs(head, part)}

    def _read(self, head: Head, numbers: Sequence[int], columns: Sequence[str] | None) -> pa.Table:
        """Rows by their numbers, in that order."""
        schema = head.schema if columns is None else pa.schema([head.schema.field(name) for name in columns])
        names = [ROW, *(field(name) for name in schema.names), *(has(name) for name in vectors(schema))]
        parts = [schema.empty_table()]
        for start in range(0, len(numbers), _READ):
            some = numbers[start : start + _READ]
            got = self.tables.client.query(head.table, filter=f"{ROW} in {list(some)}", output_fields=names)
            found = {row[ROW]: row for row in got}
            if len(found) < len(some):
                raise SensoriumError(f"{self.uri}: rows of version {head.version} are gone: what is read stays for a day")
            parts.append(rows_of([found[number] for number in some], schema))
        return pa.concat_tables(parts).combine_chunks()

    def _pages(
        self, head: Head, columns: Sequence[str] | None, where: Where, rows: int = 1024, most: int | None = None
    ) -> Iterator[pa.Table]:
        numbers = [number for _, number in self._pairs(head, where)][:most]
        for start in range(0, len(numbers), rows):
            yield self._read(head, numbers[start : start + rows], columns)

    def _counted(self, head: Head, where: Where) -> int:
        if not head.table:
            return 0
        found = self.tables.client.query(head.table, filter=_there(head, where), output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def _asked(
        self, head: Head, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where, ef: int | None
    ) -> list[list[Found]]:
        """By Milvus, whose hits are read and compared here again: so that scores are ours. Without an index (`ef`) so many are
        asked for that all that are as near as the last are among them: which of them comes first is then ours too."""
        kind = head.schema.field(name).type
        some = np.asarray(queries, np.float32)
        binary = of_column(kind) == "binary"
        sent = as_numbers(rounded(some, "binary") if binary else some, kind)
        most = candidates(k) if binary else k
        limit = most if ef else most + _SPARE
        while True:
            tuned = {"metric_type": metric(kind), **({"params": {"ef": max(ef, limit)}} if ef else {})}
            asked = {"filter": _there(head, where), "limit": limit, "search_params": tuned, "anns_field": field(name)}
            found = self.tables.client.search(head.table, data=list(sent), output_fields=[ROW], **asked)
            if ef or not any(len(hits) == limit and _as_near(hits, most) for hits in found):
                break
            if limit == MOST:  # more equal ones than Milvus gives
                return by_pass(self._pages(head, [KEY, name], where), name, queries, k)
            limit = min(2 * limit, MOST)
        numbers = sorted({hit[ROW] for hits in found for hit in hits})
        rows = self._read(head, numbers, [KEY, name])
        at, keys = {number: place for place, number in enumerate(numbers)}, np.array(rows[KEY].to_pylist(), object)
        loaded = of_table(rows, name)
        own = [np.isin(loaded.ids, keys[[at[hit[ROW]] for hit in hits]]) for hits in found]
        return [nearest(loaded, query[None], k, mine)[0] for query, mine in zip(some, own, strict=True)]

    def _graph(self, head: Head, name: str, there: bool) -> dict[str, Any]:
        """Makes the index of a column, unless it is there, and looks as far into it as a good recall takes."""
        known = Compare(name, "known")
        if not there:
            self.tables.graph(head.table, name, head.schema.field(name).type)
        numbers = np.array([number for _, number in self._pairs(head, known)])
        some = numbers[np.linspace(0, len(numbers) - 1, min(SAMPLE, len(numbers))).astype(int)]
        x = of_table(self._read(head, np.unique(some).tolist(), [KEY, name]), name).numbers()
        queries = beside(x)
        exact, ef, found = by_pass(self._pages(head, [KEY, name], known), name, queries, NEAREST), 0, 0.0
        for ef in _EF:
            parts = [queries[i : i + _TOGETHER] for i in range(0, len(queries), _TOGETHER)]
            found = recall([hits for part in parts for hits in self._asked(head, name, part, NEAREST, known, ef)], exact)
            if found >= GOOD:
                break
        return {"ef": ef, "recall": found}

    def _writable(self) -> None:
        if self._fixed is not None:
            raise SensoriumError("a snapshot is for reading: write into the store that it was taken of")


def _there(head: Head, where: Where) -> str:
    """A filter, and that a row is of this version."""
    alive = f"{BORN} <= {head.version} and {DIED} > {head.version}"
    return alive if where == Every(()) else f"{alive} and {expression(where, head.schema)}"


def _as_near(hits: Sequence[dict[str, Any]], most: int) -> bool:
    """Whether the last hit is as near as the `most`-th, or so little farther that rounding may be why."""
    last, of = hits[-1]["distance"], hits[most - 1]["distance"]
    return last >= of - 1e-5 * max(1.0, abs(of))
