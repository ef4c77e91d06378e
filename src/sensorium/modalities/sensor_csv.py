"""CSV and TSV files of readings, line by line, so that no more is held than is wanted."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedIOBase

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.modalities import sensor_header as header

LONGEST_LINE = 1 << 16
LINES = 4096
"""So many are turned into numbers at a time."""
DELIMITERS = (",", "\t", ";")
NOTHING = ("", "na", "n/a", "null", "none", "-")
"""What stands in a cell that holds no reading; NaN is read as a number."""


def most_numbers() -> int:
    """So many numbers of a table are read at most: in f64 with their copies they take about what its file may take."""
    return limits().table_bytes // 32


@dataclass(frozen=True)
class Lines:
    """Some lines of a table: `cells[i]` is column i as f64, `numbers` are their lines in the file."""

    cells: list[np.ndarray]
    numbers: np.ndarray


def heads_of(stream: BufferedIOBase) -> tuple[list[str], Iterator[Lines]]:
    """The heads of the columns ([] for a file that begins with numbers), and the readings. `BadFile`, without the path."""
    lines = _Lines(stream)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise BadFile("there is nothing in it")
    delimiter = max(DELIMITERS, key=first.count)
    comma = delimiter != ","  # where it does not part cells, it may be the decimal point
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    numeric = all(cell.lower() in NOTHING or _number(cell, comma) is not None for cell in cells)
    skipped = lines.count
    rows = _rows(csv.reader(lines, delimiter=delimiter), skipped, len(cells))
    if numeric:
        rows = _after((skipped, cells), rows)
    names = [] if numeric else cells
    return names, _batches(rows, names or [str(i + 1) for i in range(len(cells))], comma)


class _Lines:
    """The lines of a file, none of them longer than `LONGEST_LINE`; `count` of them were read."""

    def __init__(self, stream: BufferedIOBase):
        self.stream, self.count = stream, 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.count += 1
        try:
            content = self.stream.readline(LONGEST_LINE)
            line = content.decode("utf-8-sig" if self.count == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadFile(f"line {self.count}: not text in UTF-8, so no CSV ({error.reason})") from error
        if not content:
            raise StopIteration
        if "\0" in line:
            raise BadFile(f"line {self.count} holds a NUL: this is no text, so no CSV")
        if len(content) == LONGEST_LINE:
            raise BadFile(f"line {self.count} is longer than {LONGEST_LINE} bytes: this is no table of readings")
        return line


def _rows(reader: Iterator[list[str]], skipped: int, width: int) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in reader:
            line = skipped + reader.line_num  # type: ignore[attr-defined]
            if not any(cell.strip() for cell in row) and len(row) <= 1:
                continue
            if len(row) != width:
                raise BadFile(f"line {line} has {len(row)} cells, the first line has {width}")
            yield line, row
    except csv.Error as error:
        raise BadFile(f"line {skipped + reader.line_num}: {error}") from error  # type: ignore[attr-defined]


def _after(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _batches(rows: Iterator[tuple[int, list[str]]], names: Sequence[str], comma: bool) -> Iterator[Lines]:
    most = most_numbers()
    held: list[tuple[int, list[str]]] = []
    total = 0
    for row in rows:
        held.append(row)
        if len(held) == LINES:
            yield _converted(held, names, comma)
            total += LINES * len(names)
            held = []
            if total > most:
                raise BadFile(f"more than {most} numbers: cut it into parts first (the limit is table_bytes / 32)")
    if held:
        yield _converted(held, names, comma)


def _converted(rows: list[tuple[int, list[str]]], names: Sequence[str], comma: bool) -> Lines:
    numbers = np.array([line for line, _ in rows])
    return Lines([_column([row[i] for _, row in rows], names[i], numbers, comma) for i in range(len(names))], numbers)


def _column(cells: list[str], name: str, lines: np.ndarray, comma: bool) -> np.ndarray:
    """f64 of the cells; a time of day in the way of ISO 8601 becomes seconds since 1970."""
    timely = header.time_scale(*header.parsed(name)) is not None
    try:
        return np.array([cell if cell.strip() else "nan" for cell in cells], np.float64)
    except ValueError:
        pass
    out = np.empty(len(cells))
    for i, cell in enumerate(cells):
        value = np.nan if cell.strip().lower() in NOTHING else _number(cell, comma)
        if value is None and timely:
            value = _moment(cell)
        if value is None:
            expected = "neither a number nor a time in the way of ISO 8601" if timely else "no number"
            raise BadFile(f"line {lines[i]}, column {name!r}: {cell.strip()[:40]!r} is {expected}")
        out[i] = value
    return out


def _number(cell: str, comma: bool) -> float | None:
    try:
        return float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return None


def _moment(cell: str) -> float | None:
    """Seconds since 1970; a time without a zone is taken as UTC, as only differences count."""
    try:
        moment = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
