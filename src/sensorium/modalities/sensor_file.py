"""Files of readings, from strangers: CSV, TSV, Parquet, npy, npz. Limits before memory is taken; every failure a `BadFile`.

What a file is, is told by its first bytes, not by its name.
"""

import ast
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.core.protocols import Stored
from sensorium.modalities import sensor_csv
from sensorium.modalities import sensor_header as header

FAR = 1e11
"""Seconds since 1970 come here in the year 5138: a larger time without a unit is in other units."""
LONGEST_HEAD = 1 << 14
"""Bytes of the head of an array of NumPy."""
_BROKEN = (
    *(OSError, ValueError, TypeError, SyntaxError, RecursionError, RuntimeError, OverflowError, MemoryError, EOFError, KeyError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What the readers raise of a damaged file (`NotImplementedError`, of a compression that is none, is a `RuntimeError`)."""
Source = str | Path | bytes | Stored


@dataclass(frozen=True)
class Readings:
    """A table of readings: `values` f64[N C], NaN where there is none.

    `names` and `units` of the columns ("" for an unknown unit), () where the file does not name them; `times` f64[N] in
    seconds from the first reading, rising, None where the file does not tell; `rate` in Hz where it tells that instead;
    `rows`: where each reading stands, for errors: the line of a CSV, else the number of the row.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    times: np.ndarray | None
    rate: float | None
    rows: np.ndarray

    def __post_init__(self):
        if len(self.values) == 0:
            raise BadFile("there is no reading in it")
        if self.values.shape[1] == 0:
            raise BadFile("there is no column of readings in it, only time")
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise BadFile(f"two columns are called {twice[0]!r}")

    def called(self, column: int) -> str:
        """How an error calls a column."""
        return f"column {self.names[column]!r}" if self.names else f"column {column + 1}"


def read(source: Source, channels: Sequence[str] = (), seconds: float = np.inf, rate: float | None = None) -> Readings:
    """The readings of the first `seconds` (of a CSV no more is read), and one more.

    `channels`: columns that are no time whatever their name; `rate`: of a file that does not tell when it was read.
    """
    try:
        with _opened(source) as stream:
            head = stream.read(6)
            stream.seek(0)
            if head[:4] == b"PAR1":
                return _parquet(stream, channels)
            if head == b"\x93NUMPY":
                return _array(_npy(stream))
            if head[:4] == b"PK\x03\x04":
                return columns_of(_npz(stream), channels)
            return _csv(stream, channels, seconds, rate)
    except BadFile as error:
        raise BadFile(f"{named(source)}: {error}") from error
    except _BROKEN as error:
        cause = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise BadFile(f"{named(source)}: {cause}") from error


def named(source: Source) -> str:
    """How an error calls the file."""
    return f"a table of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def columns_of(columns: dict[str, np.ndarray], channels: Sequence[str]) -> Readings:
    """Columns by name: numbers f[N], one of them perhaps the time; or one array f[N C]; with a number `rate`, in Hz."""
    parts = {header.parsed(name): np.asarray(column) for name, column in columns.items()}
    if len(parts) < len(columns):
        raise BadFile(f"two of its columns have one name: {', '.join(columns)}")
    rate = next((float(part) for (name, _), part in parts.items() if name == "rate" and part.ndim == 0), None)
    parts = {head: part for head, part in parts.items() if part.ndim}
    _check_numbers(sum(part.size for part in parts.values()))
    heads = list(parts)
    times = header.time_columns(heads, channels)
    rest = [head for i, head in enumerate(heads) if i not in times]
    if not rest:
        raise BadFile("there is no column of readings in it")
    table = parts[rest[0]]
    if len(rest) > 1 or table.ndim == 1:
        for head in heads:
            if parts[head].ndim != 1 or len(parts[head]) != len(table):
                raise BadFile(
                    f"column {head[0]!r} is {list(parts[head].shape)}, {rest[0][0]!r} is {list(table.shape)}: expected one length"
                )
        table = np.stack([_numbers(parts[head], head[0]) for head in rest], axis=1)
        names = [name for name, _ in rest]
        units = [unit for _, unit in rest]
    else:
        table, names, units = _array(table).values, [], []
    rows = np.arange(1, len(table) + 1)
    moments = None
    if times:
        name, unit = heads[times[0]]
        moments = _seconds(parts[heads[times[0]]], name, unit, rows)
        if len(moments) != len(table):
            raise BadFile(f"{len(moments)} times and {len(table)} readings")
    if rate is not None and not 0 < rate < np.inf:
        raise BadFile(f"a rate of {rate} Hz: expected a number above 0")
    return Readings(tuple(names), tuple(units), table, moments, rate, rows)


def _csv(stream: BufferedIOBase, channels: Sequence[str], seconds: float, rate: float | None) -> Readings:
    names, batches = sensor_csv.heads_of(stream)
    heads = [header.parsed(name) for name in names]
    times = header.time_columns(heads, channels)
    most = np.inf if rate is None else seconds * rate + 1
    held: list[sensor_csv.Lines] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch.numbers)
        if count > most and not times:
            break
        if times:
            name, unit = heads[times[0]]
            first = slice(0, 1 if len(held) > 1 else 0)  # times count from the first line of all
            part = np.r_[held[0].cells[times[0]][first], batch.cells[times[0]]]
            moments = _seconds(part, name, unit, np.r_[held[0].numbers[first], batch.numbers])
            if moments[-1] > seconds:
                break
    if not held:
        raise BadFile("it has a head and no readings")
    cells = [np.concatenate([batch.cells[i] for batch in held]) for i in range(len(held[0].cells))]
    rows = np.concatenate([batch.numbers for batch in held])
    rest = [i for i in range(len(cells)) if i not in times]
    values = np.stack([cells[i] for i in rest], axis=1) if rest else np.zeros((len(rows), 0))
    moments = _seconds(cells[times[0]], *heads[times[0]], rows) if times else None
    names, units = tuple(heads[i][0] for i in rest if heads), tuple(heads[i][1] for i in rest if heads)
    return Readings(names, units, values, moments, None, rows)


def _parquet(stream: BufferedIOBase, channels: Sequence[str]) -> Readings:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(stream, pre_buffer=False)
        _check_numbers(file.metadata.num_rows * max(1, file.metadata.num_columns))
        groups = range(file.metadata.num_row_groups)
        if (size := sum(file.metadata.row_group(i).total_byte_size for i in groups)) > limits().table_bytes:
            raise BadFile(f"its columns take {size} bytes; at most {limits().table_bytes} are read (the limit table_bytes)")
        columns: dict[str, np.ndarray] = {}
        for name, kind in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True):
            if not any(test(kind) for test in (arrow.types.is_integer, arrow.types.is_floating, arrow.types.is_timestamp)):
                raise BadFile(f"column {name!r} holds {kind}: expected numbers, or timestamps; leave other columns out")
            if name in columns:
                raise BadFile(f"two columns are called {name!r}")
            column = file.read(columns=[name], use_threads=False).column(0)  # one at a time: each is held twice for a moment
            if arrow.types.is_timestamp(kind):
                columns[f"{name} [ns]"] = column.cast(arrow.timestamp("ns", kind.tz)).cast(arrow.int64()).to_numpy()
            else:
                columns[name] = column.to_numpy().astype(np.float64, copy=False)
    except arrow.ArrowException as error:
        raise BadFile(" ".join(str(error).split())) from error
    return columns_of(columns, channels)


def _npy(stream: BufferedIOBase) -> np.ndarray:
    """An array of numbers, once its file is known to hold as many as its head says (NumPy's format, NEP 1)."""
    start = stream.read(8)
    wide = start[6:7] != b"\1"
    size = int.from_bytes(stream.read(4 if wide else 2), "little")
    if start[:6] != b"\x93NUMPY" or size > LONGEST_HEAD:
        raise BadFile("not an array of NumPy")
    said = ast.literal_eval(stream.read(size).decode("latin-1").strip())
    if not (isinstance(said, dict) and said.keys() == {"descr", "fortran_order", "shape"} and isinstance(said["descr"], str)):
        raise BadFile(f"not an array of numbers: its head says {str(said)[:80]}")
    dtype, shape = np.dtype(said["descr"]), tuple(said["shape"])
    if dtype.kind not in "iuf" or not all(type(n) is int and n >= 0 for n in shape):
        raise BadFile(f"it holds {dtype} in the shape {shape}: expected numbers")
    numbers = math.prod(shape)
    _check_numbers(numbers)
    there = stream.read(numbers * dtype.itemsize)
    if len(there) < numbers * dtype.itemsize:
        raise BadFile(f"cut short: {len(there)} of {numbers * dtype.itemsize} bytes of numbers are there")
    return np.frombuffer(there, dtype).reshape(shape, order="F" if said["fortran_order"] else "C")


def _npz(stream: BufferedIOBase) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(stream) as file:
        members = file.infolist()
        if (size := sum(member.file_size for member in members)) > (most := limits().table_bytes // 4):
            raise BadFile(f"it unpacks to {size} bytes; at most {most} are read (the limit table_bytes / 4)")
        return {member.filename.removesuffix(".npy"): _npy(BytesIO(file.read(member))) for member in members}


def _array(x: np.ndarray) -> Readings:
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2:
        raise BadFile(f"an array {list(x.shape)}: expected readings×channels")
    return Readings((), (), _numbers(x, "of readings"), None, None, np.arange(1, len(x) + 1))


def _numbers(x: np.ndarray, name: str) -> np.ndarray:
    if x.dtype.kind not in "iuf":
        raise BadFile(f"column {name!r} holds {x.dtype}: expected numbers")
    return x.astype(np.float64)


def _seconds(x: np.ndarray, name: str, unit: str, rows: np.ndarray) -> np.ndarray:
    """Times as seconds from the first of them, which have to rise."""
    if x.dtype.kind == "M":
        x, unit = x.astype("datetime64[ns]").astype(np.int64), "ns"
    if x.dtype.kind not in "iuf" or x.ndim != 1:
        raise BadFile(f"the times in {name!r} are {x.dtype}{list(x.shape)}: expected a column of numbers")
    if len(x) and not np.isfinite(x).all():
        raise BadFile(f"line {rows[np.flatnonzero(~np.isfinite(x))[0]]}, column {name!r}: there is no time")
    if len(x) and not header.has_unit(name, unit) and float(abs(x).max()) > FAR:
        raise BadFile(f"times of {float(abs(x).max()):.6g} without a unit: call the column {name}_ms (or _us, _ns)")
    scale = header.time_scale(name, unit) or header.SECONDS.get(unit, 1.0)
    moments = (x - x[:1]).astype(np.float64) * scale
    wrong = np.flatnonzero(np.diff(moments) <= 0)
    if len(wrong):
        which = "the same as" if moments[wrong[0] + 1] == moments[wrong[0]] else "before"
        raise BadFile(
            f"line {rows[wrong[0] + 1]}, column {name!r}: a time {which} the one on line {rows[wrong[0]]}; sort them, each once"
        )
    return moments


def _check_numbers(numbers: int) -> None:
    if numbers > (most := sensor_csv.most_numbers()):
        raise BadFile(f"{numbers} numbers; at most {most} are read (the limit table_bytes / 32): cut it into parts first")


@contextmanager
def _opened(source: Source) -> Iterator[BufferedIOBase]:
    """The bytes, once there are some, and not too many."""
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise BadFile("a folder, not a file" if path.is_dir() else "no such file")
        size = path.stat().st_size
    else:
        content = source if isinstance(source, bytes) else source.read()
        path, size = None, len(content)
    if size == 0:
        raise BadFile("the file is empty (0 bytes)")
    if size > limits().table_bytes:
        raise BadFile(f"{size} bytes; at most {limits().table_bytes} are read (the limit table_bytes): cut it into parts first")
    with path.open("rb") if path else BytesIO(content) as stream:
        yield stream
