"""Manifests: CSV, TSV, JSONL or Parquet with a row an item, whose columns are understood by their names and what they hold."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.data.columns import LOOK, Given, told, understand, values
from sensorium.data.listing import Listing, Problem, decoded
from sensorium.data.remote import Remote
from sensorium.data.rows import Reader, Row
from sensorium.data.sides import meanings, told_unknown

STEMS = ("manifest", "metadata")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
LINES = (".jsonl", ".ndjson")
SMALL = 2**20
"""Bytes up to which a manifest is read row by row, and the files that it names are looked for."""


def read(path: Path | Remote, columns: Given | None = None) -> Listing:
    """The items of a manifest; paths in it are relative to it. Columns that are not understood become metadata.

    Rows with one id, or else with the same files, are one item. Addresses (`https://…`) are read when they are asked for.
    `columns` says which column holds what where names and contents do not: `{"image": "pic", "text": "beschreibung"}`.
    A row that cannot be read is a problem, and so is a file that is absent; in a manifest of more than `SMALL` bytes, whose
    items are made as they are asked for, absent files are told when they are read. `BadFile` where no column names files or
    captions.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadFile(f"{path}: neither a folder nor a manifest nor tar shards ({', '.join(SUFFIXES)})")
    if suffix == ".parquet" or (isinstance(path, Path) and path.stat().st_size > SMALL):
        from sensorium.data import table  # it needs pyarrow, which small manifests do not

        if (listing := table.read(path, columns)) is not None:
            return listing
    return _row_by_row(path, columns)


def _row_by_row(path: Path | Remote, columns: Given | None) -> Listing:
    problems: list[Problem] = []
    rows = _rows(path, problems)
    if not rows:
        raise BadFile(f"{path}: there are no rows in it. {'; '.join(map(str, problems[:3]))}".rstrip())
    understood = understand(path, [row for _, row in rows], columns)
    lines: dict[str, int] = {}
    for line, row in rows:
        lines.setdefault(next(values(row, understood.get("split", ())), ""), line)
    problems += told_unknown(path, understood.get("split", [""])[0], lines)
    items = Reader(path, understood, True, meanings(lines)).items(rows, problems)
    if not items:
        raise BadFile(f"{path}: nothing in it can be used. {'; '.join(map(str, problems[:3]))}")
    layout = f"manifest {path.name}: {told(understood)}"
    items = tuple(sorted(items, key=lambda item: item.id))
    return Listing(path.parent, items, tuple(problems), layout, manifest=path, columns=understood)


def rows_of(path: Path, problems: list[Problem] | None = None) -> list[Row]:
    """All rows of a manifest that can be read, each with its line (of Parquet its number, from 1); what is wrong with the others
    is added to `problems`."""
    if path.suffix.lower() != ".parquet":
        return _rows(path, [] if problems is None else problems)
    from sensorium.data import table

    return list(enumerate(table.whole(path).to_pylist(), 1))


def _rows(path: Path | Remote, problems: list[Problem]) -> list[Row]:
    text = decoded(_bytes(path), path)
    if not text.strip():
        raise BadFile(f"{path}: the file is empty")
    rows = _jsonl(path, text, problems) if path.suffix.lower() in LINES else _csv(path, text, problems)
    return [row for row in rows if not _has_nul(path, row, problems)]


def _bytes(path: Path | Remote) -> bytes:
    if not isinstance(path, Path):
        return path.read()
    if (size := path.stat().st_size) > (most := limits().table_bytes):
        raise BadFile(f"{path}: {size} bytes, and too irregular to be read at once: more than the limit of {most} (table_bytes)")
    return path.read_bytes()


def _csv(path: Path | Remote, text: str, problems: list[Problem]) -> list[Row]:
    delimiter = delimiter_of(path, text)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    csv.field_size_limit(max(csv.field_size_limit(), limits().caption_bytes))  # a caption may be as long as in a file of its own
    try:
        header = [name.strip() for name in next(reader)]
        if len(set(header)) != len(header):
            raise BadFile(f"{path}: two columns have one name in {header}")
        start = reader.line_num + 1
        for values in reader:
            if len(values) == len(header):
                rows.append((start, dict(zip(header, values, strict=True))))
            elif values:
                problems.append(Problem(str(path), "manifest", wrong_number(start, len(values), len(header), delimiter)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise BadFile(f"{path}: line {reader.line_num}: {error}") from error
    return rows


def delimiter_of(path: Path | Remote, text: str) -> str:
    """What parts the columns of a CSV or TSV file, by its first line."""
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=re.split(r"\r|\n", text, maxsplit=1)[0].count)


def wrong_number(line: int, got: int, expected: int, delimiter: str) -> str:
    """What is told of a row with too many values or too few."""
    return f"line {line}: {got} values for {expected} columns; quote those that hold {delimiter!r}"


def _jsonl(path: Path | Remote, text: str, problems: list[Problem]) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(re.split(r"\r\n|\n", text), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_constant=_no_number)
            if not isinstance(value, dict):
                raise ValueError(f"expected an object, got {type(value).__name__}")
            rows.append((number, value))
        except (ValueError, RecursionError) as error:
            problems.append(Problem(str(path), "manifest", f"line {number}: {error}"))
    return rows


def _no_number(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON does not have, could not be kept with the item."""
    raise ValueError(f"{name} is no JSON number: use null")


def _has_nul(path: Path | Remote, row: Row, problems: list[Problem]) -> bool:
    """Whether a value holds a NUL, which no name of a file and no caption does; it is told."""
    line, columns = row
    bad = next((name for name, value in columns.items() if _holds_nul(value)), None)
    if bad is not None:
        problems.append(Problem(str(path), "manifest", f"line {line}: a NUL in column {bad!r}: the row is left out"))
    return bad is not None


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return any(map(_holds_nul, value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()))


def sample(path: Path, head: bytes) -> list[dict[str, Any]] | None:
    """The first rows of a file of JSON lines; None where any of them is not right."""
    problems: list[Problem] = []
    rows = _jsonl(path, decoded(head, path), problems)
    return None if problems or not rows else [dict(row) for _, row in rows[:LOOK]]
