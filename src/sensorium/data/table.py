"""Manifests of millions of rows: held as Arrow columns, grouped at once, and made items one by one as they are asked for.

Whatever is not regular (a line that is no JSON, a column of numbers and texts, lists of files) is left to `manifest`, which
reads row by row and says exactly what is wrong: the functions here return None then.
"""

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from sensorium.core.errors import BadFile
from sensorium.core.files import sha256
from sensorium.core.protocols import Item
from sensorium.data import grouping, hub, manifest
from sensorium.data.columns import LOOK, Columns, Given, may_split, told, understand
from sensorium.data.grouping import compute
from sensorium.data.listing import Listing, Problem
from sensorium.data.remote import Remote
from sensorium.data.rows import Reader
from sensorium.data.sides import known, meanings, told_torn, told_unknown

BLOCK = 2**22
"""Bytes that are parsed at a time; a row cannot be longer."""
Lines = Int[np.ndarray, "..."]
"""The line of each row."""


class TableItems(Sequence[Item]):
    """The items of a table, sorted by id. Row `order[k]` belongs to item i for k from `starts[i]` to `starts[i + 1]`."""

    def __init__(self, table: pa.Table, lines: Lines, reader: Reader, groups: grouping.Groups):
        self._table, self._lines, self._reader, self._groups = table, lines, reader, groups

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, i: int) -> Item: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, i: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(len(self))))
        i = range(len(self))[i]
        id, problems = self._groups.id(i), []
        rows = [(int(self._lines[row]), self._row(row)) for row in self._groups.rows(i)]
        return self._reader.item(id, rows, problems)

    def _row(self, row: int) -> dict[str, Any]:
        return {name: column[row].as_py() for name, column in zip(self._table.column_names, self._table.columns, strict=True)}

    def sides(self) -> tuple[list[str], list[str]]:
        """What each item is split by: its group, or else its id; and the split that the table itself gives it, or ""."""
        firsts = self._groups.firsts()
        by = _column(self._table, self._reader.columns, "group", firsts)
        split = _column(self._table, self._reader.columns, "split", firsts)
        names = [group or id for group, id in zip(by, self._groups.ids.take(pa.array(firsts)).to_pylist(), strict=True)]
        return names, [self._reader.sides.get(word, "") for word in split]

    def torn(self, role: str) -> list[tuple[str, int, int]]:
        """(id, its first line, a line that says another split or group) of the items whose rows do not agree."""
        if role not in self._reader.columns:
            return []
        order, starts = self._groups.order, self._groups.starts
        said = _column(self._table, self._reader.columns, role, order)
        codes = np.unique([known(word) for word in said] if role == "split" else said, return_inverse=True)[1]
        item = np.repeat(np.arange(len(self)), np.diff(starts))
        differ = np.flatnonzero(codes != codes[starts[:-1]][item])
        at = differ[np.unique(item[differ], return_index=True)[1]]
        lines = self._lines[order]
        return [(self._groups.id(int(item[k])), int(lines[starts[item[k]]]), int(lines[k])) for k in at]

    def fingerprint(self) -> str:
        """A hash of the manifest's bytes, and of how its columns were understood."""
        where = self._reader.where
        content = sha256(where) if isinstance(where, Path) else hashlib.sha256(where.read()).hexdigest()
        return hashlib.sha256(f"{content} {self._reader.columns}".encode()).hexdigest()


def read(path: Path | Remote, given: Given | None) -> Listing | None:
    """The items of a large manifest, or of any in Parquet; None where it has to be read row by row."""
    problems: list[Problem] = []
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table, lines = _parquet(path)
    elif isinstance(path, Remote) or (found := _jsonl(path) if suffix in manifest.LINES else _csv(path, problems)) is None:
        return None
    else:
        table, lines = found
    if not len(table):
        raise BadFile(f"{path}: there are no rows in it. {'; '.join(map(str, problems[:3]))}".rstrip())
    table, lines = _without_nul(path, table, lines, problems)
    words = {name: _different(table[name]).to_pylist() for name in may_split(table.column_names, given)}
    columns = understand(path, table.slice(0, LOOK).to_pylist(), given, words)
    firsts = _first_lines(table, lines, columns)
    reader = Reader(path, columns, False, meanings(firsts))
    layout = f"manifest {path.name}: {told(columns)}"
    groups = None if _names_caption_files(table, columns) else grouping.group(path.stem, table, lines, columns)
    if groups is None or len(table) <= LOOK:  # of a few rows each file is looked for, as in a small manifest
        if suffix != ".parquet" and groups is None:
            return None
        rows = [(int(line), row) for line, row in zip(lines, table.to_pylist(), strict=True)]
        problems += told_unknown(path, columns.get("split", [""])[0], firsts)
        items = replace(reader, check=True).items(rows, problems)
        items = tuple(sorted(items, key=lambda item: item.id))
    else:
        items = TableItems(table, lines, reader, groups)
        problems += told_unknown(path, columns.get("split", [""])[0], firsts)
        for role in ("split", "group"):
            problems += told_torn(path, role, items.torn(role))
    if not items:
        raise BadFile(f"{path}: nothing in it can be used. {'; '.join(map(str, problems[:3]))}")
    return Listing(path.parent, items, tuple(problems), layout, manifest=path, columns=columns)


def whole(path: Path | Remote) -> pa.Table:
    """The table of a manifest in Parquet."""
    return _parquet(path)[0]


def _parquet(path: Path | Remote) -> tuple[pa.Table, Lines]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path if isinstance(path, Path) else io.BytesIO(path.read()), pre_buffer=False, buffer_size=2**20)
        if isinstance(path, Remote) and (whole := [f.name for f in file.schema_arrow if hub.is_file_column(f.type)]):
            raise BadFile(f"{path}: the columns {', '.join(whole)} hold whole files, which are read from a disk: copy it first")
        table = pa.Table.from_batches(file.iter_batches(2**15, use_threads=False), file.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        raise BadFile(f"{path}: not a Parquet file: {error}") from error
    pa.default_memory_pool().release_unused()
    return table, np.arange(1, len(table) + 1)


def _jsonl(path: Path) -> tuple[pa.Table, Lines] | None:
    import pyarrow.json as reader

    with path.open("rb") as file:
        first = manifest.sample(path, b"".join(islice(file, LOOK)))
    if first is None:
        return None
    texts = {name: pa.string() for row in first for name, value in row.items() if isinstance(value, str)}
    parse = reader.ParseOptions(explicit_schema=pa.schema(texts.items()), unexpected_field_behavior="infer")
    try:  # a block at a time takes half the memory, but wants every column to be in the first
        table = reader.open_json(path, reader.ReadOptions(use_threads=False, block_size=BLOCK), parse).read_all()
    except (pa.ArrowException, OSError):
        try:
            table = reader.read_json(path, reader.ReadOptions(block_size=BLOCK), parse)
        except (pa.ArrowException, OSError):
            return None
    pa.default_memory_pool().release_unused()
    if any(pa.types.is_floating(f.type) and compute.any(compute.is_nan(table[f.name])).as_py() for f in table.schema):
        return None  # no JSON number: told with its line, row by row
    if any(pa.types.is_timestamp(f.type) for f in table.schema):
        return None  # a text that looks like a date and came late: it must stay the text that it is
    if len(table) == _count(path, b"\n") + (not _ends(path)):
        return table, np.arange(1, len(table) + 1)
    with path.open("rb") as file:  # some lines are blank
        lines = np.fromiter((n for n, line in enumerate(file, 1) if not line.isspace()), np.int64)
    return (table, lines) if len(lines) == len(table) else None


def _csv(path: Path, problems: list[Problem]) -> tuple[pa.Table, Lines] | None:
    import pyarrow.csv as reader

    with path.open("rb") as file:
        head = file.read(BLOCK)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _count(path, b'"') % 2:
        return None  # UTF-16, or a quote that is never closed
    text = head.decode("utf-8-sig", "replace")
    delimiter = manifest.delimiter_of(path, text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    raw = next(rows)
    header = [name.strip() for name in raw]
    if len(set(header)) != len(header):
        raise BadFile(f"{path}: two columns have one name in {header}")
    wrong: list[reader.InvalidRow] = []

    def skip(row: reader.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    try:  # one thread: else rows have no number
        table = reader.read_csv(
            path,
            reader.ReadOptions(use_threads=False, block_size=BLOCK),
            reader.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip),
            reader.ConvertOptions(column_types=dict.fromkeys(raw, pa.string())),
        ).rename_columns(header)
    except (pa.ArrowException, OSError):
        return None
    pa.default_memory_pool().release_unused()
    first = rows.line_num + 1
    if not wrong and len(table) == _count(path, b"\n") + (not _ends(path)) - rows.line_num:
        return table, np.arange(first, first + len(table))
    lines, starts = _lines(table, first, wrong)
    for line, row in zip(starts, wrong, strict=True):
        if row.text.strip():
            cause = manifest.wrong_number(line, row.actual_columns, row.expected_columns, delimiter)
            problems.append(Problem(str(path), "manifest", cause))
    return table, lines


def _lines(table: pa.Table, first: int, wrong: Sequence[Any]) -> tuple[Lines, list[int]]:
    """The line at which each row starts, and each of the rows that were left out: values may hold newlines."""
    inside = np.zeros(len(table), np.int64)
    for column in table.columns:
        inside += compute.count_substring(column, "\n").to_numpy()
    numbers = np.array([row.number for row in wrong], np.int64) - 2  # among all rows; the header is number 1
    of = np.delete(np.arange(len(table) + len(wrong)), numbers)
    lengths = np.ones(len(of) + len(wrong), np.int64)
    lengths[of] += inside
    lengths[numbers] += np.array([row.text.count("\n") for row in wrong], np.int64)
    starts = first + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return starts[of], [int(line) for line in starts[numbers]]


def _count(path: Path, what: bytes) -> int:
    with path.open("rb") as file:
        return sum(block.count(what) for block in iter(lambda: file.read(BLOCK), b""))


def _ends(path: Path) -> bool:
    """Whether a file ends with a newline, as it should."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _without_nul(path: Path | Remote, table: pa.Table, lines: Lines, problems: list[Problem]) -> tuple[pa.Table, Lines]:
    """The rows without a NUL in a text, which no name of a file and no caption holds; those with one are told."""
    suffix = path.suffix.lower()
    if suffix != ".parquet" and isinstance(path, Path) and not _count(path, rb"\u0000" if suffix in manifest.LINES else b"\0"):
        return table, lines
    bad = np.zeros(len(table), bool)
    for field in table.schema:
        if pa.types.is_string(field.type):
            found = compute.match_substring(table[field.name], "\0").fill_null(False).to_numpy(zero_copy_only=False)
            problems += [
                Problem(str(path), "manifest", f"line {line}: a NUL in column {field.name!r}: the row is left out")
                for line in lines[found & ~bad]
            ]
            bad |= found
    return (table.filter(pa.array(~bad)), lines[~bad]) if bad.any() else (table, lines)


def _names_caption_files(table: pa.Table, columns: Columns) -> bool:
    """Whether captions lie in files of their own: those are read when the manifest is."""
    texts = [table[name] for name in columns.get("text", ()) if pa.types.is_string(table[name].type)]
    found = (
        compute.and_(compute.ends_with(t, ".txt", ignore_case=True), compute.invert(compute.match_substring(t, " ")))
        for t in texts
    )
    return any(bool(compute.any(one).as_py()) for one in found)


def _different(column: pa.ChunkedArray) -> pa.Array:
    """The different values of a column; of lists and the like, which are no words, none."""
    return pa.nulls(0) if pa.types.is_nested(column.type) else compute.unique(column)


def _first_lines(table: pa.Table, lines: Lines, columns: Columns) -> dict[str, int]:
    """Each different word in the split column, and the line where it first stands."""
    out: dict[str, int] = {}
    for name in columns.get("split", ())[:1]:
        for value in _different(table[name]):
            row = compute.index(table[name], value).as_py() if value.is_valid else 0
            out.setdefault("" if value.as_py() is None else str(value.as_py()).strip(), int(lines[row]))
    return out


def _column(table: pa.Table, columns: Columns, role: str, rows: Lines) -> list[str]:
    """The text of a role in some rows, "" where there is none."""
    if role not in columns:
        return [""] * len(rows)
    return [str(value).strip() if value is not None else "" for value in table[columns[role][0]].take(pa.array(rows)).to_pylist()]
