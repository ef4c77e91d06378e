"""What a plan does to a manifest when files are dropped: lines that nothing useful is left of go, in others a cell is emptied.

{"action": "edit manifest", "path": "manifest.csv", "remove": [4, 9], "empty": [[12, "audio", "audio/7.wav"]]}
"""

import csv
import io
import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.data import manifest
from sensorium.data.columns import Columns, file_kinds, values
from sensorium.data.listing import Listing, decoded
from sensorium.data.rows import Reader, Row

Cell = tuple[int, str, str]
"""(line, column, the value that is taken out)."""


class BadPlan(SensoriumError):
    """A plan that is none, is for other files, or would reach outside of its folder."""


def edits(listing: Listing, dropped: Collection[str]) -> dict[str, Any] | None:
    """The action that a listing's manifest needs when the files `dropped` (as the folder calls them) are gone; None where it
    names none of them, or there is no manifest.

    An item that is left with fewer than two kinds makes no pair: all of its lines go. Of other items the names of the dropped
    files are taken out, and the lines that say nothing any more.
    """
    path, columns = listing.manifest, {role: list(names) for role, names in listing.columns.items()}
    if not isinstance(path, Path) or not dropped:
        return None
    reader = Reader(path, columns, False)
    items: dict[Any, list[Row]] = defaultdict(list)
    for row in manifest.rows_of(path):
        items[reader.key(row)[0]].append(row)
    remove, empty = list[int](), list[Cell]()
    for rows in items.values():
        gone, kept = _gone(rows, columns, dropped)
        if not gone:
            continue
        if len(kept) < 2:
            remove += [line for line, _ in rows]
            continue
        bare = {line for line, row in rows if not _left(row, columns, dropped)}
        remove += sorted(bare)
        empty += [cell for cell in gone if cell[0] not in bare]
    if not remove and not empty:
        return None
    why = f"it names what is dropped: {len(remove)} lines go, in {len({line for line, *_ in empty})} others a name is taken out"
    edit = {"remove": sorted(remove), "empty": [list(cell) for cell in sorted(empty)]}
    return {"action": "edit manifest", "path": path.name, **edit, "why": why}


def edited(path: Path, action: dict[str, Any]) -> bytes:
    """The bytes of a manifest without what the action says; all else stays as it stands there. `BadPlan` where it does not."""
    remove, cells = set(action["remove"]), defaultdict[int, list[tuple[str, str]]](list)
    for line, column, value in action["empty"]:
        cells[line].append((column, value))
    if both := remove & cells.keys():
        raise BadPlan(f"{path}: line {min(both)} is to be removed, and to be edited")
    write = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}.get(path.suffix.lower(), _jsonl)
    try:
        return write(path, remove, cells)
    except BadFile as error:
        raise BadPlan(str(error)) from error
    except (csv.Error, ValueError, StopIteration) as error:  # what the plan names is no manifest
        raise BadPlan(f"{path}: cannot be edited as a manifest: {error}") from error


def check_edit(where: str, action: dict[str, Any]) -> None:
    """`BadPlan` unless the action has lines and cells of the right kind."""
    remove, empty = action["remove"], action["empty"]
    if not all(type(line) is int and line > 0 for line in remove):
        raise BadPlan(f"{where}: 'remove' takes numbers of lines, got {remove!r}")
    if not all(
        isinstance(cell, list) and list(map(type, cell)) == [int, str, str]  # [line, column, value]
        for cell in empty
    ):
        raise BadPlan(f"{where}: 'empty' takes [line, column, value] each, got {empty!r}")


def _gone(rows: Sequence[Row], columns: Columns, dropped: Collection[str]) -> tuple[list[Cell], set[str]]:
    """The cells that name what is dropped, and the kinds that an item has without them."""
    gone, kept = list[Cell](), set[str]()
    for line, row in rows:
        for kind in (*file_kinds(), "text"):
            for column in columns.get(kind, ()):
                for value in values(row, [column]):
                    if _is_one(value, dropped):
                        gone.append((line, column, value))
                    else:
                        kept.add(kind)
    return gone, kept


def _left(row: Any, columns: Columns, dropped: Collection[str]) -> bool:
    """Whether a row names a file or says a caption that stays."""
    every = (value for kind in (*file_kinds(), "text") for value in values(row, columns.get(kind, ())))
    return any(not _is_one(value, dropped) for value in every)


def _is_one(value: str, dropped: Collection[str]) -> bool:
    return posixpath.normpath(value) in dropped


def _text(path: Path) -> tuple[str, bytes]:
    """The text of a manifest, and the mark that it began with and keeps; one in UTF-16 becomes UTF-8."""
    data = path.read_bytes()
    return decoded(data, path), b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""


def _csv(path: Path, remove: set[int], cells: dict[int, list[tuple[str, str]]]) -> bytes:
    text, mark = _text(path)
    delimiter = manifest.delimiter_of(path, text)
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    header = [name.strip() for name in next(reader)]
    out, start, seen = lines[: reader.line_num], reader.line_num + 1, set[int]()
    for row in reader:
        whole = lines[start - 1 : reader.line_num]
        if start in cells:
            if len(row) != len(header):
                raise BadPlan(f"{path}: line {start}: {len(row)} values for {len(header)} columns")
            values = dict(zip(header, row, strict=True))
            _empty(path, start, values, cells[start], lambda old, value: "" if old.strip() == value else None)
            buffer = io.StringIO(newline="")
            end = re.search(r"[\r\n]*$", whole[-1])
            csv.writer(buffer, delimiter=delimiter, lineterminator=end.group() if end else "").writerow(values.values())
            whole = [buffer.getvalue()]
        out += [] if start in remove else whole
        seen.add(start)
        start = reader.line_num + 1
    _all_there(path, {*remove, *cells}, seen)
    return mark + "".join(out).encode()


def _jsonl(path: Path, remove: set[int], cells: dict[int, list[tuple[str, str]]]) -> bytes:
    text, mark = _text(path)
    out = []
    parts = re.split(r"(\r\n|\n)", text)
    for number, (line, end) in enumerate(zip(parts[::2], [*parts[1::2], ""], strict=True), 1):
        if number in remove:
            continue
        if number in cells:
            row = json.loads(line)
            _empty(path, number, row, cells[number], _without)
            line = json.dumps(row, ensure_ascii=False)
        out.append(line + end)
    _all_there(path, {*remove, *cells}, range(1, len(parts[::2]) + 1))
    return mark + "".join(out).encode()


def _parquet(path: Path, remove: set[int], cells: dict[int, list[tuple[str, str]]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sensorium.data.table import whole

    table = whole(path)
    rows = table.to_pylist()
    _all_there(path, {*remove, *cells}, range(1, len(rows) + 1))
    for line, each in cells.items():
        _empty(path, line, rows[line - 1], each, _without)
    kept = [row for line, row in enumerate(rows, 1) if line not in remove]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(kept, schema=table.schema), sink)
    return sink.getvalue()


def _empty(
    path: Path,
    line: int,
    row: dict[str, Any],
    cells: Iterable[tuple[str, str]],
    without: Callable[[Any, str], Any],
) -> None:
    """Takes values out of a row, in place; `BadPlan` where one is not there."""
    for column, value in cells:
        if column not in row or value not in values(row, [column]):
            raise BadPlan(f"{path}: line {line}: column {column!r} does not hold {value!r}, as the plan says")
        row[column] = without(row[column], value)


def _without(old: Any, value: str) -> Any:
    """A list without one of its values, or null."""
    return [one for one in old if value not in values({"": one}, [""])] if isinstance(old, list) else None


def _all_there(path: Path, wanted: Collection[int], there: Collection[int]) -> None:
    if absent := sorted(line for line in wanted if line not in there):
        raise BadPlan(f"{path}: no row begins at line {absent[0]}, as the plan says")
