"""Milvus: rows on a server, or in a file of milvus-lite (which is the same server, inside this process).

A place is one database of a server, `milvus://host:port/db` (Milvus 2.6 or newer; `MILVUS_TOKEN` in the environment is
`user:password`, where it wants one), or a file, `milvus:///path/to/name.db`. What Milvus lacks is made of what it has:

* Nothing of it is done in one step, and nothing stays as it was for whoever reads. So each row says in which version it came
  (`_born`) and went (`_died`); a verb writes rows of a version that nobody looks at, and its last step is one small row that names
  that version. What a killed writer left the next one takes back. Rows that went stay for a day, for those who still read.
* No vector is null: zeros stand there, with a truth value beside them that every search filters by.
* Columns of vectors cannot be added: the rows are copied into a new table when rows bring a new column.
* Vectors are kept as f32, whatever their precision (milvus-lite knows nothing else): f16, int8 and binary find what they find
  elsewhere, and save no memory here.
* A text has at most 65,535 bytes, a picture 49,149. A server takes 4 columns of vectors unless `proxy.maxVectorFieldNum` is raised.

One may write at a time: threads of a process wait for each other; another process is found out when it commits, mostly.
"""

import base64
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import SensoriumError, UnknownName, need
from sensorium.search.exact import by_pass, candidates, nearest, of_table, recall
from sensorium.search.milvus_form import ALIVE, BORN, DIED, FILL, LONGEST, ROW, as_numbers, entities, expression, field, fields
from sensorium.search.milvus_form import has, rows_of
from sensorium.search.precision import of_column, rounded
from sensorium.search.store import KEY, Found, Index, checked, checked_filter, checked_query, vectors
from sensorium.search.where import Compare, Every, Where

EXACT = 100_000
"""Up to so many vectors are compared one by one, by Milvus; beyond it has an index (HNSW)."""
FEW = 10_000
"""Where there is an index and so few rows meet a filter, these are read and compared here: a graph finds them badly."""
MOST = 16_384
"""What Milvus gives at once: hits of a search, rows of a query."""
GOOD, SAMPLE, NEAREST = 0.99, 100, 10
_GRAPH = {"M": 32, "efConstruction": 200}
_EF = (64, 128, 256, 512, 1024)
_DAY = 86_400_000
_TOGETHER, _READ, _SENT, _SPARE = 64, 256, 8 << 20, 16  # queries, rows and bytes a call; hits asked for beyond `k`, for equal ones
_A_WRITE = 1 << 21  # rows: what numbers of rows have room for
_ABOUT, _TABLE = "sensorium_about", "sensorium_rows_"
_LOCKS: dict[str, RLock] = {}


class Head(NamedTuple):
    """What was committed last: the version, the table that holds its rows, their columns; `slot` is the row that says so."""

    version: int
    table: str
    schema: pa.Schema
    slot: int


_NOTHING = Head(0, "", pa.schema([]), 1)


class Milvus:
    """The driver: of what is at a place now, or of what was there at one `head`, for reading."""

    def __init__(self, uri: str, exact: int = EXACT, head: Head | None = None, about: dict[str, Any] | None = None):
        need("pymilvus", "milvus", "a collection in Milvus")
        self.uri, self.exact, self._fixed, self._fixed_about = uri, exact, head, about
        self._lock, self._opened = _LOCKS.setdefault(uri, RLock()), None

    @property
    def about(self) -> dict[str, Any]:
        return self._told().get("about", {}) if self._fixed_about is None else self._fixed_about

    @property
    def schema(self) -> pa.Schema:
        return self._head().schema

    @property
    def version(self) -> int:
        return self._head().version

    def describe(self, about: dict[str, Any]) -> None:
        self._writable()
        with self._lock:
            self._tell("about", about)

    def upsert(self, rows: pa.Table, instead_of: Where | None = None) -> None:
        self._writable()
        with self._lock:
            head = self._begun()
            new = checked(rows, head.schema)
            if len(new) >= _A_WRITE:
                raise SensoriumError(f"{len(new)} rows at once: write fewer than {_A_WRITE:,} at a time")
            if instead_of is not None:
                checked_filter(new.schema, instead_of)
            version = max(head.version + 1, time.time_ns() // 1_000_000)
            made = entities(new, range(version * _A_WRITE, version * _A_WRITE + len(new)), version)
            grows = not head.table or len(new.schema) > len(head.schema)
            table = self._grown(head, new.schema, version) if grows else head.table
            then = Head(version if grows else head.version, table, new.schema, head.slot)  # what is in that table, if new
            keys = new[KEY].to_pylist()
            gone = [pair[1] for start in range(0, len(keys), 1000) for pair in self._pairs(then, _among(keys[start : start + 1000]))]
            gone += [] if instead_of is None else [number for _, number in self._pairs(then, instead_of)]
            self._end(table, sorted(set(gone)), version)
            self._put(table, made, new.nbytes)
            self._commit(head, version, table, new.schema)

    def delete(self, where: Where) -> int:
        self._writable()
        with self._lock:
            head = self._begun()
            if not head.table:
                return 0
            checked_filter(head.schema, where)
            gone = [number for _, number in self._pairs(head, where)]
            if gone:
                version = max(head.version + 1, time.time_ns() // 1_000_000)
                self._end(head.table, gone, version)
                self._commit(head, version, head.table, head.schema)
            return len(gone)

    def search(self, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where | None = None) -> list[list[Found]]:
        head = self._head()
        checked_query(head.schema, name, queries, k)
        known = Compare(name, "known")
        asked = known if where is None else Every((known, where))
        checked_filter(head.schema, asked)
        index = self._told().get("indexes", {}).get(head.table, {}).get(name, {})
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
        places: dict[str, int] = {}
        for start in range(0, len(wanted), 1000):
            places |= dict(self._pairs(head, _among(wanted[start : start + 1000])))
        for key in wanted:
            if key not in places:
                raise UnknownName(f"no row has the key {key!r}")
        found = self._read(head, [places[key] for key in wanted], columns)
        order = {key: place for place, key in enumerate(wanted)}
        return found.take(pa.array([order[key] for key in ids], pa.int64()))

    def scan(
        self, columns: Sequence[str] | None = None, where: Where | None = None, after: str | None = None, rows: int = 1024
    ) -> Iterator[pa.Table]:
        parts = [] if where is None else [where]
        parts += [] if after is None else [Compare(KEY, ">", after)]
        head = self._head()
        if head.table:
            checked_filter(head.schema, Every(tuple(parts)))
            yield from self._pages(head, columns, Every(tuple(parts)), rows)

    def count(self, where: Where | None = None) -> int:
        head = self._head()
        if where is not None and head.table:
            checked_filter(head.schema, where)
        return self._counted(head, Every(()) if where is None else where)

    def optimize(self) -> dict[str, Index]:
        self._writable()
        out: dict[str, Index] = {}
        with self._lock:
            head = self._begun()
            if not head.table:
                return out
            self._forget(head)
            told: dict[str, Any] = self._told().get("indexes", {}).get(head.table, {})
            for name in vectors(head.schema):
                start, known = time.perf_counter(), self._counted(head, Compare(name, "known"))
                kind, found = "exact", 1.0
                if name in told or known > self.exact:
                    told[name] = self._graph(head, name, name in told)
                    kind, found = "HNSW", told[name]["recall"]
                    self._tell("indexes", {head.table: told})
                out[name] = Index(kind, known, found, round(time.perf_counter() - start, 3))
        return out

    def snapshot(self) -> "Milvus":
        return Milvus(self.uri, self.exact, self._head(), self.about)

    def close(self) -> None:
        """Lets go of the connection; the next call makes another. A file stays this process's until it ends."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def erase(self) -> None:
        """Removes all rows, columns, and what was said of them."""
        self._writable()
        with self._lock:
            for name in self._tables():
                self._client.drop_collection(name)

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = _connected(self.uri)
            return self._opened

    def _tables(self) -> list[str]:
        return [name for name in self._client.list_collections() if name == _ABOUT or name.startswith(_TABLE)]

    def _told(self) -> dict[str, Any]:
        if not self._client.has_collection(_ABOUT):
            return {}
        found = self._client.query(_ABOUT, filter='key != ""', output_fields=["value"])
        return {row["key"]: json.loads(row["value"]) for row in found}

    def _tell(self, key: str, value: Any) -> None:
        text = json.dumps(value, allow_nan=False)
        if len(text.encode()) > LONGEST:
            raise SensoriumError(f"what is said of the collection ({key}) takes {len(text.encode())} bytes; Milvus keeps {LONGEST}")
        if not self._client.has_collection(_ABOUT):
            from pymilvus import DataType

            texts = {"datatype": DataType.VARCHAR, "max_length": LONGEST}
            fill = {"field_name": FILL, "datatype": DataType.FLOAT_VECTOR, "dim": 2}
            self._create(_ABOUT, [{"field_name": "key", "is_primary": True, **texts}, {"field_name": "value", **texts}, fill])
        self._client.upsert(_ABOUT, [{"key": key, "value": text, FILL: [0.0, 0.0]}])

    def _create(self, name: str, columns: list[dict[str, Any]], metrics: dict[str, str] | None = None) -> None:
        from pymilvus import DataType

        schema, indexes = self._client.create_schema(auto_id=False, enable_dynamic_field=False), self._client.prepare_index_params()
        for column in columns:
            schema.add_field(**column)
            if column["datatype"] == DataType.FLOAT_VECTOR:
                own = column["field_name"]
                indexes.add_index(own, index_type="FLAT", index_name=own, metric_type=(metrics or {}).get(own, "IP"))
        self._client.create_collection(name, schema=schema, index_params=indexes, consistency_level="Strong")

    def _head(self) -> Head:
        if self._fixed is not None:
            return self._fixed
        told = self._told()
        heads = [Head(*said[:2], _schema(said[2]), slot) for slot in (0, 1) if (said := told.get(f"head{slot}"))]
        return max(heads, key=lambda head: head.version, default=_NOTHING)

    def _begun(self) -> Head:
        """The head, once what a killed writer left is taken back."""
        head = self._head()
        for name in self._tables():
            if name.startswith(_TABLE) and int(name.removeprefix(_TABLE)) > head.version:
                self._client.drop_collection(name)
        if head.table:
            v = head.version
            left = f"{BORN} > {v} or ({DIED} > {v} and {DIED} < {ALIVE})"
            found = [(row[ROW], row[BORN]) for row in self._every(head.table, left, [ROW, BORN])]
            if new := [number for number, born in found if born > v]:
                self._client.delete(head.table, filter=f"{BORN} > {v}")
            self._end(head.table, sorted({number for number, _ in found} - set(new)), ALIVE)
        return head

    def _grown(self, head: Head, schema: pa.Schema, version: int) -> str:
        """A new table with these columns and the rows that there are."""
        made = f"{_TABLE}{version}"
        metrics = {field(name): _metric(schema.field(name).type) for name in vectors(schema)}
        self._create(made, fields(schema), metrics)
        numbers = [number for _, number in self._pairs(head, Every(()))]
        for start in range(0, len(numbers), _READ):
            some = numbers[start : start + _READ]
            rows = self._read(head, some, None)
            columns = [rows[c.name] if c.name in rows.column_names else pa.nulls(len(rows), c.type) for c in schema]
            rows = pa.table(columns, schema=schema)
            self._put(made, entities(rows, some, version), rows.nbytes)
        return made

    def _put(self, table: str, made: list[dict[str, Any]], size: int) -> None:
        step = max(1, len(made) * _SENT // max(_SENT, size)) if made else 1
        for start in range(0, len(made), step):
            self._client.upsert(table, made[start : start + step])

    def _end(self, table: str, numbers: Sequence[int], version: int) -> None:
        for start in range(0, len(numbers), 1000):
            some = [{ROW: number, DIED: version} for number in numbers[start : start + 1000]]
            self._client.upsert(table, some, partial_update=True)

    def _commit(self, head: Head, version: int, table: str, schema: pa.Schema) -> None:
        if self._head().version != head.version:
            raise SensoriumError(f"{self.uri}: somebody else wrote meanwhile, and one may write at a time: run it again")
        self._tell(f"head{1 - head.slot}", [version, table, base64.b64encode(schema.serialize()).decode()])

    def _forget(self, head: Head) -> None:
        """Removes what went more than a day ago."""
        before = time.time_ns() // 1_000_000 - _DAY
        self._client.delete(head.table, filter=f"{DIED} <= {before}")
        made = sorted(int(name.removeprefix(_TABLE)) for name in self._tables() if name != _ABOUT)
        for own, next_ in zip(made, made[1:], strict=False):
            if next_ <= before:
                self._client.drop_collection(f"{_TABLE}{own}")

    def _every(self, table: str, text: str, names: list[str]) -> Iterator[dict[str, Any]]:
        found = self._client.query_iterator(table, batch_size=8192, filter=text, output_fields=names)
        try:
            while some := found.next():
                yield from some
        finally:
            found.close()

    def _pairs(self, head: Head, where: Where) -> list[tuple[str, int]]:
        """Keys and numbers of the rows that meet a filter, by key."""
        if not head.table:
            return []
        found = self._every(head.table, _there(head, where), [ROW, field(KEY)])
        return sorted((row[field(KEY)], row[ROW]) for row in found)

    def _read(self, head: Head, numbers: Sequence[int], columns: Sequence[str] | None) -> pa.Table:
        """Rows by their numbers, in that order."""
        schema = head.schema if columns is None else pa.schema([head.schema.field(name) for name in columns])
        names = [ROW, *(field(name) for name in schema.names), *(has(name) for name in vectors(schema))]
        parts = [schema.empty_table()]
        for start in range(0, len(numbers), _READ):
            some = numbers[start : start + _READ]
            got = self._client.query(head.table, filter=f"{ROW} in {list(some)}", output_fields=names)
            found = {row[ROW]: row for row in got}
            if len(found) < len(some):
                raise SensoriumError(f"{self.uri}: rows of version {head.version} are gone: what is read stays for a day")
            parts.append(rows_of([found[number] for number in some], schema))
        return pa.concat_tables(parts).combine_chunks()

    def _pages(self, head: Head, columns: Sequence[str] | None, where: Where, rows: int = 1024) -> Iterator[pa.Table]:
        numbers = [number for _, number in self._pairs(head, where)]
        for start in range(0, len(numbers), rows):
            yield self._read(head, numbers[start : start + rows], columns)

    def _counted(self, head: Head, where: Where) -> int:
        if not head.table:
            return 0
        found = self._client.query(head.table, filter=_there(head, where), output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def _asked(
        self, head: Head, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where, ef: int | None
    ) -> list[list[Found]]:
        """By Milvus, whose hits are read and compared here again: so that scores are ours. Without an index (`ef`) so many are
        asked for that all that are as near as the last are among them: which of them comes first is then ours too."""
        kind = head.schema.field(name).type
        some = np.asarray(queries, np.float32)
        binary = of_column(kind) == "binary"
        sent, most = as_numbers(rounded(some, "binary") if binary else some, kind if binary else _F32(kind)), k
        most = candidates(k) if binary else k
        limit = most if ef else most + _SPARE
        while True:
            tuned = {"params": {"ef": max(ef, limit)}} if ef else {}
            found = self._client.search(
                head.table, list(sent), _there(head, where), limit, [ROW], {"metric_type": _metric(kind), **tuned}, anns_field=field(name)
            )
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
        known, kind, client = Compare(name, "known"), head.schema.field(name).type, self._client
        if not there:
            client.release_collection(head.table)
            client.drop_index(head.table, field(name))
            params = client.prepare_index_params()
            params.add_index(field(name), index_type="HNSW", index_name=field(name), metric_type=_metric(kind), params=_GRAPH)
            client.create_index(head.table, params)
            client.load_collection(head.table)
        numbers = np.array([number for _, number in self._pairs(head, known)])
        some = numbers[np.linspace(0, len(numbers) - 1, min(SAMPLE, len(numbers))).astype(int)]
        x = of_table(self._read(head, np.unique(some).tolist(), [KEY, name]), name).numbers()
        queries = (x + np.random.default_rng(0).normal(0, x.std() / 2, x.shape)).astype(np.float32)
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


def _among(keys: Sequence[str]) -> Where:
    return Compare(KEY, "in", tuple(keys))


def _metric(kind: pa.DataType) -> str:
    return "COSINE" if of_column(kind) == "int8" else "IP"


def _F32(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.float32(), kind.list_size)


def _as_near(hits: Sequence[dict[str, Any]], most: int) -> bool:
    """Whether the last hit is as near as the `most`-th, or so little farther that rounding may be why."""
    last, of = hits[-1]["distance"], hits[most - 1]["distance"]
    return last >= of - 1e-5 * max(1.0, abs(of))


@lru_cache(64)
def _schema(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _connected(uri: str) -> Any:
    """A client of a place. A database that is not there is made: `places` asks before."""
    from pymilvus import MilvusClient, MilvusException

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback of what it raises
    server, _, name = uri.removeprefix("milvus://").partition("/")
    try:
        if not server:
            return MilvusClient(f"/{name}")
        reached = {"uri": f"http://{server}", "token": os.environ.get("MILVUS_TOKEN", "")}
        client = MilvusClient(**reached)
        if name and name not in client.list_databases():
            client.create_database(name)
        return MilvusClient(**reached, db_name=name) if name else client
    except MilvusException as error:
        why = f"no Milvus answers at {server}" if server else f"/{name} cannot be opened: does another process have it open?"
        raise SensoriumError(f"{uri}: {why} ({error.message})") from error
