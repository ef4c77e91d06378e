"""A store in this process, exact, in plain Arrow and NumPy: the one that says what the others have to do."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float

from sensorium.core.errors import SensoriumError
from sensorium.search.exact import Vectors, nearest, of_table
from sensorium.search.store import KEY, Found, Index, checked, checked_filter, checked_query, places_of, vectors
from sensorium.search.where import Compare, Not, Some, Where

_OPERATIONS = {"=": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}
_EMPTY = pa.schema([pa.field(KEY, pa.string(), nullable=False)])


class Memory:
    """The driver. It forgets everything when the process ends."""

    def __init__(self):
        self._rows = _EMPTY.empty_table()
        self._about, self._version, self._frozen = "{}", 0, False
        self._vectors: dict[str, Vectors] = {}
        self._places: dict[str, int] = {}
        self._lock = Lock()

    @property
    def about(self) -> dict[str, Any]:
        return json.loads(self._about)

    @property
    def schema(self) -> pa.Schema:
        return self._rows.schema if self._version else pa.schema([])

    @property
    def version(self) -> int:
        return self._version

    def describe(self, about: dict[str, Any]) -> None:
        self._writable()
        self._about = json.dumps(about, allow_nan=False)

    def upsert(self, rows: pa.Table, instead_of: Where | None = None) -> None:
        self._writable()
        with self._lock:
            new = checked(rows, self._rows.schema)
            stays = ~np.isin(_keys(self._rows), _keys(new))
            if instead_of is not None:
                stays &= ~mask(self._rows, instead_of)
            old = self._rows.filter(pa.array(stays))
            for field in new.schema:
                if field.name not in old.column_names:
                    old = old.append_column(field, pa.nulls(len(old), field.type))
            self._change(pa.concat_tables([old.select(new.column_names), new]).sort_by(KEY))

    def delete(self, where: Where) -> int:
        self._writable()
        with self._lock:
            goes = mask(self._rows, where)
            self._change(self._rows.filter(pa.array(~goes)))
            return int(goes.sum())

    def search(self, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where | None = None) -> list[list[Found]]:
        with self._lock:  # the rows and their vectors are of one version
            rows = self._rows
            checked_query(rows.schema, name, queries, k)
            if name not in self._vectors:
                self._vectors[name] = of_table(rows, name)
            loaded = self._vectors[name]
        allowed = None if where is None else mask(rows.filter(rows[name].is_valid()), where)
        return nearest(loaded, queries, k, allowed)

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        with self._lock:
            rows = self._rows
            if not self._places:
                self._places = {key: place for place, key in enumerate(_keys(rows))}
            places = self._places
        wanted = pa.array(places_of(places, ids), pa.int64())
        return (rows if columns is None else rows.select(list(columns))).take(wanted)

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        after: str | None = None,
        rows: int = 1024,
        most: int | None = None,
    ) -> Iterator[pa.Table]:
        found = self._rows
        if after is not None:
            found = found.filter(pc.call_function("greater", [found[KEY], pa.scalar(after)]))
        if where is not None:
            found = found.filter(pa.array(mask(found, where)))
        found = (found if columns is None else found.select(list(columns))).slice(0, most)
        return (found.slice(start, rows) for start in range(0, len(found), rows))

    def count(self, where: Where | None = None) -> int:
        return len(self._rows) if where is None else int(mask(self._rows, where).sum())

    def optimize(self) -> dict[str, Index]:
        counts = {name: len(self._rows) - self._rows[name].null_count for name in vectors(self._rows.schema)}
        return {name: Index("exact", count, 1.0, 0.0) for name, count in counts.items()}

    def snapshot(self) -> "Memory":
        made = Memory()
        made._rows, made._about, made._version, made._frozen = self._rows, self._about, self._version, True
        return made

    def steady(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        """Lets go of what is kept to search faster."""
        self._vectors, self._places = {}, {}

    def _change(self, rows: pa.Table) -> None:
        self._rows, self._version = rows.combine_chunks(), self._version + 1
        self._vectors, self._places = {}, {}

    def _writable(self) -> None:
        if self._frozen:
            raise SensoriumError("a snapshot is for reading: write into the store that it was taken of")


def mask(rows: pa.Table, where: Where) -> Bool[np.ndarray, " N"]:
    """Which rows meet a filter."""
    checked_filter(rows.schema, where)
    return _met(rows, where)


def _met(rows: pa.Table, where: Where) -> Bool[np.ndarray, " N"]:
    if isinstance(where, Compare):
        column = rows[where.name]
        if where.op == "known":
            return np.asarray(column.is_valid())
        if pa.types.is_integer(column.type):  # numbers are compared as f64, whatever the column holds: 2.5 is more than 2
            column = column.cast(pa.float64())
        if isinstance(where.value, tuple):
            among = pc.SetLookupOptions(pa.array(where.value, column.type))
            met = pc.call_function("and", [pc.call_function("is_in", [column], among), column.is_valid()])
        else:
            met = pc.call_function(_OPERATIONS[where.op], [column, pa.scalar(where.value, column.type)])
        return np.asarray(pc.fill_null(met, False))
    if isinstance(where, Not):
        return ~_met(rows, where.part)
    parts = [_met(rows, part) for part in where.parts]
    start = np.full(len(rows), not isinstance(where, Some))
    return np.logical_or.reduce([start, *parts]) if isinstance(where, Some) else np.logical_and.reduce([start, *parts])


def _keys(rows: pa.Table) -> np.ndarray:
    return np.array(rows[KEY].to_pylist(), object)
