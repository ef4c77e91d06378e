"""Cells of tables on disk: Arrow files are mapped into memory, of Parquet files one row group of a column is held."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits

_thread = local()


@dataclass(frozen=True)
class Cell:
    """The bytes in one cell of an Arrow or Parquet file, plain or as the `{bytes, path}` of an image or sound: a `Stored`."""

    file: str
    column: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}#{self.column}[{self.row}]"

    def read(self) -> bytes:
        """Its bytes, or those of the file that it names, below the folder of the table; `BadFile` where there are none."""
        value = _value(self.file, self.column, self.row)
        if isinstance(value, pa.StructScalar):
            inner, path = value.get("bytes"), value.get("path")
            if inner is None or not inner.is_valid:
                return self._beside(path.as_py() if path is not None else None)
            value = inner
        if not value.is_valid:
            raise BadFile(f"{self}: the cell is empty")
        if isinstance(value, pa.StringScalar | pa.LargeStringScalar):
            return self._beside(value.as_py())
        buffer = value.as_buffer()
        _check(str(self), buffer.size)
        return buffer.to_pybytes()

    def _beside(self, name: str | None) -> bytes:
        if not name:
            raise BadFile(f"{self}: neither bytes nor a path in it")
        path = Path(self.file).parent / name
        try:
            _check(str(self), path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise BadFile(f"{self}: names {name}: {error.strerror or error}") from error


def schema(file: Path) -> pa.Schema:
    """The columns of an Arrow or Parquet file; `BadFile` where it is neither."""
    try:
        return pq.ParquetFile(file).schema_arrow if _is_parquet(file) else _mapped(str(file)).schema
    except (pa.ArrowException, OSError) as error:
        raise BadFile(f"{file}: not a whole {'Parquet' if _is_parquet(file) else 'Arrow'} file: {error}") from error


def plain(file: Path, columns: Sequence[str]) -> pa.Table:
    """The columns that hold no files: read from Parquet, mapped from Arrow."""
    if _is_parquet(file):
        return pq.ParquetFile(file).read(list(columns), use_threads=False)
    return _mapped(str(file)).select(list(columns))


def there(file: Path, column: str) -> np.ndarray:
    """bool[rows]: the rows that have something in a column of files; those that are null do not."""
    parts = _pieces(file, column) if _is_parquet(file) else _mapped(str(file)).column(column).chunks
    return np.concatenate([_valid(part) for part in parts]) if parts else np.zeros(0, bool)


def _pieces(file: Path, column: str) -> list[pa.ChunkedArray]:
    """A column without its bytes, where it is a struct: the path says enough, and takes no memory."""
    whole = pq.ParquetFile(file)
    kind = whole.schema_arrow.field(column).type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return [whole.read_row_group(i, [column], use_threads=False).column(0) for i in range(whole.num_row_groups)]
    return [whole.read([f"{column}.path"], use_threads=False).column(0)]


def _valid(part: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.asarray(part.is_valid().to_numpy(zero_copy_only=False))


def _check(where: str, size: int) -> None:
    if size > (most := limits().stored_bytes):
        raise BadFile(f"{where}: {size} bytes are more than the limit of {most} (SENSORIUM_LIMITS, stored_bytes)")


def _is_parquet(file: Path | str) -> bool:
    return str(file).lower().endswith(".parquet")


@lru_cache(maxsize=256)
def _mapped(file: str) -> pa.Table:
    source = pa.memory_map(file)
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(source).read_all()


def _value(file: str, column: str, row: int) -> Any:
    try:
        return _of_parquet(file, column, row) if _is_parquet(file) else _mapped(file).column(column)[row]
    except (pa.ArrowException, OSError, KeyError, IndexError) as error:
        raise BadFile(f"{file}#{column}[{row}]: {type(error).__name__}: {error}") from error


def _of_parquet(file: str, column: str, row: int) -> Any:
    """Each thread has its own handle (one that is shared crashes), and the last row group that it read of a column."""
    files: dict[str, tuple[pq.ParquetFile, np.ndarray]] = _thread.__dict__.setdefault("files", {})
    if file not in files:
        while len(files) >= 16:
            files.pop(next(iter(files)))
        opened = pq.ParquetFile(file)
        ends = np.cumsum([opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)])
        files[file] = (opened, ends)
    opened, ends = files[file]
    number = int(np.searchsorted(ends, row, side="right"))
    held: dict[str, tuple[tuple[str, int], Any]] = _thread.__dict__.setdefault("held", {})
    if column not in held or held[column][0] != (file, number):
        held.pop(column, None)  # first, so that two row groups are never held at once
        held[column] = ((file, number), opened.read_row_group(number, [column], use_threads=False).column(0))
    return held[column][1][row - (int(ends[number - 1]) if number else 0)]
