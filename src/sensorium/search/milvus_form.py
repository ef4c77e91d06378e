"""How rows, their columns and filters look in Milvus."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.core.errors import SensoriumError
from sensorium.search.precision import TYPES, of_column, signs, stored
from sensorium.search.store import KEY
from sensorium.search.where import Compare, Every, Some, Value, Where

LONGEST = 65_535
"""Bytes of a text in Milvus."""
ROW, BORN, DIED, FILL = "_row", "_born", "_died", "_fill"
"""A row's number, the versions in which it came and went; a vector for tables that have none, as Milvus wants one."""
ALIVE = (1 << 63) - 1
_ALL, _NONE = f"{ROW} >= 0", f"{ROW} < 0"
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
"""What must not stand in a text of an expression; milvus-lite knows no other escapes than C's."""
_OPPOSITE = {"=": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def field(name: str) -> str:
    """The field of a column: no name that means something to Milvus, as `like` does."""
    return f"c_{name}"


def has(name: str) -> str:
    """The field that says whether a row has a vector `name`: where it has none, zeros stand."""
    return f"_has_{name}"


def fields(schema: pa.Schema) -> list[dict[str, Any]]:
    """The fields of a table with these columns, as `add_field` takes them. `SensoriumError` for a type that none holds."""
    from pymilvus import DataType

    out: list[dict[str, Any]] = [{"field_name": name, "datatype": DataType.INT64} for name in (ROW, BORN, DIED)]
    out[0]["is_primary"] = True
    for column in schema:
        name, kind = field(column.name), column.type
        if of_column(kind):
            width = numbers_of(kind)
            out += [
                {"field_name": has(column.name), "datatype": DataType.BOOL},
                {"field_name": name, "datatype": DataType.FLOAT_VECTOR, "dim": width},
            ]
            continue
        types = (
            (pa.types.is_boolean, DataType.BOOL),
            (pa.types.is_integer, DataType.INT64),
            (pa.types.is_floating, DataType.DOUBLE),
            (pa.types.is_string, DataType.VARCHAR),
            (pa.types.is_large_binary, DataType.VARCHAR),
        )
        fits = [value for test, value in types if test(kind)]
        if not fits:
            raise SensoriumError(
                f"the column {column.name!r} holds {kind}: expected texts, numbers, truth values, bytes, vectors"
            )
        longest = {"max_length": LONGEST} if fits[0] == DataType.VARCHAR else {}
        out.append({"field_name": name, "datatype": fits[0], "nullable": column.name != KEY, **longest})
    if not any(of_column(column.type) for column in schema):
        out.append({"field_name": FILL, "datatype": DataType.FLOAT_VECTOR, "dim": 2})
    return out


def numbers_of(kind: pa.DataType) -> int:
    """How many numbers a vector has in Milvus: at least two, as of one it takes none."""
    return max(2, kind.list_size * (8 if of_column(kind) == "binary" else 1))


def metric(kind: pa.DataType) -> str:
    """How vectors are compared: of int8 the direction alone counts."""
    return "COSINE" if of_column(kind) == "int8" else "IP"


def as_numbers(x: np.ndarray, kind: pa.DataType) -> np.ndarray:
    """Vectors as they are kept as f32[N D]: bits as 1 and -1, all others as they are."""
    x = signs(x) if of_column(kind) == "binary" else x.astype(np.float32)
    return np.pad(x, ((0, 0), (0, numbers_of(kind) - x.shape[1])))


def entities(rows: pa.Table, numbers: Sequence[int], version: int) -> list[dict[str, Any]]:
    """Rows that come in a version. `SensoriumError` for a text (or bytes) that is too long."""
    out: list[dict[str, Any]] = [{ROW: number, BORN: version, DIED: ALIVE} for number in numbers]
    filled = True
    for column in rows.schema:
        name, kind = column.name, column.type
        if of_column(kind):
            filled = False
            there = np.asarray(rows[name].is_valid())
            x = np.zeros((len(rows), numbers_of(kind)), np.float32)
            x[there] = as_numbers(stored(rows[name]), kind)
            for entity, known, vector in zip(out, there.tolist(), x, strict=True):
                entity |= {has(name): known, field(name): vector}
            continue
        values = rows[name].to_pylist()
        if pa.types.is_large_binary(kind):
            values = [None if value is None else base64.b64encode(value).decode() for value in values]
        for entity, value in zip(out, values, strict=True):
            if isinstance(value, str) and len(value.encode()) > LONGEST:
                row = rows[KEY][out.index(entity)].as_py()
                raise SensoriumError(f"item {row!r}: its {name!r} takes {len(value.encode())} bytes; Milvus keeps {LONGEST}")
            entity[field(name)] = value
    if filled:
        for entity in out:
            entity[FILL] = [0.0, 0.0]
    return out


def rows_of(found: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """What Milvus gave as rows with these columns."""
    columns = []
    for column in schema:
        name, kind = column.name, column.type
        if precision := of_column(kind):
            there = np.array([row[has(name)] for row in found], bool)
            x = np.array([row[field(name)] for row in found], np.float32).reshape(len(found), -1)
            x = np.packbits(x > 0, axis=1)[:, : kind.list_size] if precision == "binary" else x[:, : kind.list_size]
            flat = pa.array(x.astype(TYPES[precision].to_pandas_dtype()).ravel(), TYPES[precision])
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(~there)))
            continue
        values = [row[field(name)] for row in found]
        if pa.types.is_large_binary(kind):
            values = [None if value is None else base64.b64decode(value) for value in values]
        columns.append(pa.array(values, kind))
    return pa.table(columns, schema=schema)


def expression(where: Where, schema: pa.Schema, negated: bool = False) -> str:
    """A filter as Milvus reads it. It compares with null as SQL does, with a third truth value: so that ours has two, `Not` is
    taken to the comparisons, and what is missing named there."""
    if isinstance(where, Compare):
        return _comparison(where, schema, negated)
    if not isinstance(where, Every | Some):
        return expression(where.part, schema, not negated)
    all_ = isinstance(where, Every) != negated
    parts = [expression(part, schema, negated) for part in where.parts]
    return f"({(' and ' if all_ else ' or ').join(parts)})" if parts else _ALL if all_ else _NONE


def _comparison(one: Compare, schema: pa.Schema, negated: bool) -> str:
    name, kind = field(one.name), schema.field(one.name).type
    if one.op == "known":
        if of_column(kind):
            return f"{has(one.name)} == {'false' if negated else 'true'}"
        known = _ALL if one.name == KEY else f"{name} is not null"
        return known if not negated else _NONE if one.name == KEY else f"{name} is null"
    missing = f"{name} is null" if one.name != KEY else _NONE
    if isinstance(one.value, tuple):
        values = [value for value in one.value if _whole(value, kind)]
        among = f"{name} in [{', '.join(_literal(value, kind) for value in values)}]" if values else _NONE
        return f"({missing} or not ({among}))" if negated and values else _ALL if negated else among
    op = _OPPOSITE[one.op] if negated else "==" if one.op == "=" else one.op
    value = "" if one.value is None else one.value
    if not _whole(value, kind):  # Milvus compares a whole number with nothing else
        known = _ALL if one.name == KEY else f"{name} is not null"
        low = math.floor(float(value))
        text = {"==": _NONE, "!=": known, "<": f"{name} <= {low}", "<=": f"{name} <= {low}"}.get(op, f"{name} > {low}")
    else:
        text = f"{name} {op} {_literal(value, kind)}"
    return f"({missing} or {text})" if negated else text


def _whole(value: Value, kind: pa.DataType) -> bool:
    return not pa.types.is_integer(kind) or isinstance(value, str) or float(value).is_integer()


def _literal(value: Value, kind: pa.DataType) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.translate(_ESCAPED) + '"'
    return str(int(value)) if pa.types.is_integer(kind) else repr(float(value))
