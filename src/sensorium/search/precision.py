"""How precisely vectors are kept: as f32, f16, int8 or binary. The type of a column says it, so every store keeps it alike.

int8: each vector by a scale of its own, its largest number at 127. The scale is not kept: vectors of a collection have unit
length, so the direction is all of it. It is of the row, not of the column, as it then depends on one vector alone: rows come and
go, and go to another store, without anything to be measured or made anew.
binary: a bit a number, whether it is above 0, eight to a byte, the first in the highest bit; as a vector all numbers are 1/√D or
-1/√D. D is a multiple of 8.
"""

import math
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import SensoriumError, UnknownName, nearest

Precision = Literal["f32", "f16", "int8", "binary"]
TYPES: dict[str, pa.DataType] = {"f32": pa.float32(), "f16": pa.float16(), "int8": pa.int8(), "binary": pa.uint8()}


def of_column(kind: pa.DataType) -> str | None:
    """How precise the vectors of a column are; None where it holds something else."""
    if not pa.types.is_fixed_size_list(kind):
        return None
    return next((name for name, value in TYPES.items() if value == kind.value_type), None)


def width(kind: pa.DataType) -> int:
    """How many numbers each vector of a column has."""
    return kind.list_size * (8 if of_column(kind) == "binary" else 1)


def size(kind: pa.DataType) -> int:
    """Bytes of each vector of a column."""
    return kind.list_size * kind.value_type.bit_width // 8


def rounded(x: Float[np.ndarray, "N D"], precision: str) -> np.ndarray:
    """Vectors as they are kept: f32[N D], f16[N D], i8[N D] or u8[N D/8]. `SensoriumError` where D does not suit."""
    if precision not in get_args(Precision):
        raise UnknownName(f"no precision {precision!r}.{nearest(precision, get_args(Precision))}")
    if precision == "int8":
        most = np.abs(x).max(1, keepdims=True, initial=0)
        return np.rint(x * (127 / np.where(most > 0, most, 1))).astype(np.int8)
    if precision == "binary":
        if x.shape[1] % 8:
            raise SensoriumError(f"binary takes vectors of a multiple of 8 numbers, got {x.shape[1]}: take int8, or other --dims")
        return np.packbits(x > 0, axis=1)
    return x.astype(np.float16 if precision == "f16" else np.float32)


def numbers(x: np.ndarray) -> Float[np.ndarray, "N D"]:
    """What `rounded` gave as f32; of int8 and binary as unit vectors."""
    if x.dtype == np.uint8:
        return signs(x) / np.float32(math.sqrt(8 * x.shape[1]))
    f = x.astype(np.float32)
    return f / lengths(x)[:, None] if x.dtype == np.int8 else f


def signs(x: np.ndarray) -> Float[np.ndarray, "N D"]:
    """1 and -1 for each bit of binary vectors."""
    return np.unpackbits(x, axis=1).astype(np.float32) * 2 - 1


def lengths(x: np.ndarray) -> Float[np.ndarray, " N"]:
    """Of int8 vectors, by which their dot products are divided; 1 where all numbers are 0."""
    out = np.empty(len(x), np.float32)
    for start in range(0, len(x), 8192):
        f = x[start : start + 8192].astype(np.float32)
        out[start : start + 8192] = np.sqrt(np.einsum("nd,nd->n", f, f))
    return np.where(out > 0, out, 1).astype(np.float32)


def stored(column: pa.ChunkedArray) -> np.ndarray:
    """The vectors of a column as they are kept, without the null ones."""
    whole = column.combine_chunks()
    return np.asarray(whole.flatten()).reshape(-1, whole.type.list_size)


def converted(rows: pa.Table, precision: str) -> pa.Table:
    """A table with its columns of vectors kept otherwise; nulls stay nulls."""
    for i, field in enumerate(rows.schema):
        if of_column(field.type) not in (None, precision):
            there = np.asarray(rows[field.name].is_valid())
            x = rounded(numbers(stored(rows[field.name])), precision)
            whole = np.zeros((len(there), x.shape[1]), x.dtype)
            whole[there] = x
            kind = pa.list_(TYPES[precision], x.shape[1])
            made = pa.FixedSizeListArray.from_arrays(pa.array(whole.ravel()), type=kind, mask=pa.array(~there))
            rows = rows.set_column(i, pa.field(field.name, kind), made)
    return rows
