"""The tables of a collection in a database of Milvus, and what was committed last."""

import base64
import itertools
import json
import logging.config
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from threading import RLock
from typing import Any, NamedTuple

import pyarrow as pa

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.search.milvus_form import ALIVE, BORN, DIED, FILL, LONGEST, ROW, field, fields, metric
from sensorium.search.store import vectors

DAY = 86_400_000
"""Milliseconds: as long stays what went, for those who still read."""
_ABOUT, _TABLE = "sensorium_about", "sensorium_rows_"
_SENT, _ENDED, _BATCH = 8 << 20, 1000, 8192  # bytes and rows a call
_GRAPH = {"M": 32, "efConstruction": 200}
_PATIENT: dict[str, Any] = {"timeout": 20, "grpc_options": {"grpc.keepalive_time_ms": 300_000}}
"""It pings every ten seconds unless told, and the server of milvus-lite hangs up on who pings more than once in five minutes."""
_LOCKS: dict[str, RLock] = {}


class Head(NamedTuple):
    """What was committed last: the version (milliseconds since 1970, or one more than the last), the table that holds its rows,
    their columns; `slot` is which of two texts says so: the other one is written next, so that one of them is always whole."""

    version: int
    table: str
    schema: pa.Schema
    slot: int

    def next(self) -> int:
        return max(self.version + 1, _now())


NOTHING = Head(0, "", pa.schema([]), 1)


class Tables:
    """Those at a place. `lock` is the same for all who write there in this process. A database that is not there is made where it
    may be (`create`)."""

    def __init__(self, uri: str, create: bool = True):
        _ready()
        self.uri, self.create, self.lock, self._opened = uri, create, _LOCKS.setdefault(uri, RLock()), None

    @property
    def client(self) -> Any:
        with self.lock:
            if self._opened is None:
                opened = _connected(self.uri, self.create)
                for name in _ours(opened):  # what another process made, or a server that began anew, answers nothing until it is
                    if opened.list_indexes(name):  # without, whoever made it was killed before it held anything
                        opened.load_collection(name)
                self._opened = opened
            return self._opened

    def close(self) -> None:
        """Lets go of the connection; the next call makes another."""
        with self.lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def names(self) -> list[str]:
        return _ours(self.client)

    def told(self) -> dict[str, Any]:
        """What was said under each key."""
        if not self.client.has_collection(_ABOUT):
            return {}
        found = self.client.query(_ABOUT, filter='key != ""', output_fields=["value"])
        return {row["key"]: json.loads(row["value"]) for row in found}

    def tell(self, key: str, value: Any) -> None:
        from pymilvus import DataType

        text = json.dumps(value, allow_nan=False)
        if (size := len(text.encode())) > LONGEST:
            raise SensoriumError(f"what is said of the collection ({key}) takes {size} bytes; Milvus keeps {LONGEST} of a text")
        if not self.client.has_collection(_ABOUT):
            texts = {"datatype": DataType.VARCHAR, "max_length": LONGEST}
            fill = {"field_name": FILL, "datatype": DataType.FLOAT_VECTOR, "dim": 2}
            self._create(_ABOUT, [{"field_name": "key", "is_primary": True, **texts}, {"field_name": "value", **texts}, fill])
        self.client.upsert(_ABOUT, [{"key": key, "value": text, FILL: [0.0, 0.0]}])

    def head(self, told: dict[str, Any] | None = None) -> Head:
        """What was committed last, as far as `told()` says."""
        told = self.told() if told is None else told
        there = [(slot, said) for slot in (0, 1) if (said := told.get(f"head{slot}"))]
        heads = [Head(version, table, _schema(text), slot) for slot, (version, table, text) in there]
        return max(heads, key=lambda head: head.version, default=NOTHING)

    def begun(self) -> Head:
        """The head, once what a killed writer left is taken back."""
        head = self.head()
        for name in self.names():
            if name.startswith(_TABLE) and int(name.removeprefix(_TABLE)) > head.version:
                self.client.drop_collection(name)
        if head.table:
            v = head.version
            left = f"{BORN} > {v} or ({DIED} > {v} and {DIED} < {ALIVE})"
            found = [(row[ROW], row[BORN]) for row in self.every(head.table, left, [ROW, BORN])]
            if any(born > v for _, born in found):
                self.client.delete(head.table, filter=f"{BORN} > {v}")
            self.end(head.table, [number for number, born in found if born <= v], ALIVE)
        return head

    def commit(self, head: Head, version: int, table: str, schema: pa.Schema) -> None:
        """The one step by which all that was written becomes what is there."""
        if self.head().version != head.version:
            raise SensoriumError(f"{self.uri}: somebody else wrote meanwhile, and one may write at a time: run it again")
        self.tell(f"head{1 - head.slot}", [version, table, base64.b64encode(schema.serialize()).decode()])

    def made(self, schema: pa.Schema, version: int) -> str:
        """A new table with these columns."""
        name = f"{_TABLE}{version}"
        self._create(name, fields(schema), {field(own): metric(schema.field(own).type) for own in vectors(schema)})
        return name

    def put(self, table: str, entities: list[dict[str, Any]], size: int) -> None:
        step = max(1, len(entities) * _SENT // max(_SENT, size))
        for start in range(0, len(entities), step):
            self.client.upsert(table, entities[start : start + step])

    def end(self, table: str, numbers: Sequence[int], version: int) -> None:
        """Says of rows that they went in a version."""
        for start in range(0, len(numbers), _ENDED):
            some = [{ROW: number, DIED: version} for number in numbers[start : start + _ENDED]]
            self.client.upsert(table, some, partial_update=True)

    def every(self, table: str, text: str, names: list[str]) -> Iterator[dict[str, Any]]:
        """All rows that meet a filter: a query alone gives no more than 16,384."""
        found = self.client.query_iterator(table, batch_size=_BATCH, filter=text, output_fields=names)
        try:
            while some := found.next():
                yield from some
        finally:
            found.close()

    def forget(self, head: Head) -> None:
        """Removes what went more than a day ago."""
        before = _now() - DAY
        self.client.delete(head.table, filter=f"{DIED} <= {before}")
        made = sorted(int(name.removeprefix(_TABLE)) for name in self.names() if name != _ABOUT)
        for own, next_ in itertools.pairwise(made):
            if next_ <= before:
                self.client.drop_collection(f"{_TABLE}{own}")

    def graph(self, table: str, name: str, kind: pa.DataType) -> None:
        """Makes an index of a column of vectors. Nobody can search the table meanwhile."""
        self.client.flush(table)  # what lies in memory has no index
        self.client.release_collection(table)
        self.client.drop_index(table, field(name))
        params = self.client.prepare_index_params()
        params.add_index(field(name), index_type="HNSW", index_name=field(name), metric_type=metric(kind), params=_GRAPH)
        self.client.create_index(table, params, sync=False)  # to wait for it asks for what milvus-lite does not have
        while int(self.client.describe_index(table, field(name)).get("pending_index_rows", 0)):
            time.sleep(0.2)
        self.client.load_collection(table)

    def erase(self) -> None:
        """Removes all of them."""
        with self.lock:
            for name in self.names():
                self.client.drop_collection(name)

    def _create(self, name: str, columns: list[dict[str, Any]], metrics: dict[str, str] | None = None) -> None:
        from pymilvus import DataType

        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        indexes = self.client.prepare_index_params()
        for column in columns:
            schema.add_field(**column)
            if column["datatype"] == DataType.FLOAT_VECTOR:
                own = column["field_name"]
                indexes.add_index(own, index_type="FLAT", index_name=own, metric_type=(metrics or {}).get(own, "IP"))
        self.client.create_collection(name, schema=schema, consistency_level="Strong")  # else what was just written is not seen
        self.client.create_index(name, indexes, sync=False)  # there is nothing to wait for, and it would wait half a second
        self.client.load_collection(name)


def _ours(client: Any) -> list[str]:
    return [name for name in client.list_collections() if name == _ABOUT or name.startswith(_TABLE)]


def _ready() -> None:
    """Imports pymilvus. It sets up logging for the whole process, which closes the handlers of everybody else, and absl's closes
    what `sys.stderr` is: so it must not. Both of them log tracebacks of what they raise."""
    if "pymilvus" not in sys.modules:
        own = logging.config.dictConfig
        logging.config.dictConfig = lambda config: None
        try:
            need("pymilvus", "milvus", "a collection in Milvus")
        finally:
            logging.config.dictConfig = own
        for name in ("pymilvus", "milvus_lite"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _now() -> int:
    return time.time_ns() // 1_000_000


@lru_cache(64)
def _schema(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _connected(uri: str, create: bool) -> Any:
    """A client of a place."""
    from pymilvus import MilvusClient, MilvusException

    server, _, name = uri.removeprefix("milvus://").partition("/")
    try:
        if not server:
            return MilvusClient(f"/{name}", **_PATIENT)
        reached: dict[str, Any] = {"uri": f"http://{server}", "token": os.environ.get("MILVUS_TOKEN", ""), **_PATIENT}
        client = MilvusClient(**reached)
        if name and name not in client.list_databases():
            if not create:
                raise BadFile(f"{uri}: no collection is here; make one with: sensorium index")
            client.create_database(name)
        if not name:
            return client
        client.close()
        return MilvusClient(**reached, db_name=name)
    except MilvusException as error:
        why = (
            f"Milvus at {server} does not answer, or says no"
            if server
            else f"/{name} cannot be opened: does another process have it open?"
        )
        raise SensoriumError(f"{uri}: {why} ({error.message})") from error
