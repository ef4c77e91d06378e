"""What filters may ask of items, and the columns where it is found."""

from collections.abc import Sequence

import pyarrow as pa

from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.search.rows import column, item_of, key, named
from sensorium.search.where import Compare, Every, Not, Some, Value, Where

KINDS = {"number": "numbers", "word": "texts", "flag": "truth values"}
"""Columns of facts by the first part of their names."""
_ID = "id"


def names(schema: pa.Schema) -> list[str]:
    """What may be asked of the items of a store."""
    return sorted({_ID, *(named(name) for name in schema.names if name.partition("_")[0] in KINDS)})


def columns_of(where: Where, schema: pa.Schema) -> Where:
    """A filter by names of metadata as one by columns. `UnknownName` for what no item has, `SensoriumError` where all that have
    it have another kind of value."""
    if isinstance(where, Not):
        return Not(columns_of(where.part, schema))
    if not isinstance(where, Compare):
        parts = tuple(columns_of(part, schema) for part in where.parts)
        return Some(parts) if isinstance(where, Some) else Every(parts)
    if where.name == _ID:
        return _by_id(where)
    there = {kind: name for kind in KINDS if (name := column(kind, where.name)) in schema.names}
    if not there:
        raise UnknownName(f"a filter by {where.name!r}, which no item has.{nearest(where.name, names(schema))}")
    if where.op == "known":
        return Some(tuple(Compare(name, "known") for name in there.values()))
    if isinstance(where.value, tuple):
        by_kind = {kind: tuple(value for value in where.value if _kind(value) == kind) for kind in KINDS}
        for kind, values in by_kind.items():
            if values:
                _check(where, kind, there)
        return Some(tuple(Compare(there[kind], "in", values) for kind, values in by_kind.items() if values))
    assert where.value is not None
    kind = _kind(where.value)
    _check(where, kind, there)
    return Compare(there[kind], where.op, where.value)


def _by_id(where: Compare) -> Compare:
    values: Sequence[Value | None] = where.value if isinstance(where.value, tuple) else (where.value,)
    if where.op != "known" and not all(isinstance(value, str) for value in values):
        raise SensoriumError(f"a filter id {where.op} {where.value!r}: ids are texts, in quotes")
    written = tuple(item_of(key(str(value))) for value in values)
    return Compare("item", where.op, None if where.op == "known" else written if where.op == "in" else written[0])


def _kind(value: Value) -> str:
    return "flag" if isinstance(value, bool) else "word" if isinstance(value, str) else "number"


def _check(where: Compare, kind: str, there: dict[str, str]) -> None:
    if kind not in there:
        has = " and ".join(KINDS[kind] for kind in there)
        raise SensoriumError(f"a filter {where.name} {where.op} {where.value!r}: its values are {has}, not {KINDS[kind]}")
