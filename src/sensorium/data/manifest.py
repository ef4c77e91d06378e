"""Manifests: CSV, TSV or JSONL with a row an item, whose columns are understood by their names and by what they hold."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item
from sensorium.data.listing import Listing, Problem, captions_of, problem
from sensorium.modalities import MODALITIES

STEMS = ("manifest", "metadata")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
NAMES: dict[str, tuple[str, ...]] = {  # in the order of preference
    "id": ("id", "item_id", "uid", "key"),
    "image": ("image", "picture", "photo", "img", "image_path", "image_file", "image_name", "image_filename", "picture_path"),
    "audio": ("audio", "sound", "wav", "audio_path", "audio_file", "audio_name", "audio_filename", "sound_path", "clip"),
    "video": ("video", "movie", "film", "video_path", "video_file", "video_name", "video_filename", "movie_path"),
    "text": ("caption", "captions", "text", "sentence", "description", "title", "comment", "prompt", "raw"),
}
FILES = ("file_name", "filename", "filepath", "file_path", "path", "file", "name")
"""Names of columns that hold some file; its suffix says of which kind."""
FILE_KINDS = ("image", "audio", "video")
LOOK = 200
"""Rows that are looked at to tell what a column holds."""


@dataclass
class _Row:
    """An item in the making: rows of a manifest that name the same files are the same item, with several captions."""

    id: str
    raws: dict[str, list[Any]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """The values that were already told as problems: five captions of an absent picture are one problem."""


def read(path: Path) -> Listing:
    """The items of a manifest; paths in it are relative to it. Columns that are not understood become metadata.

    Rows with one id, or else with the same files, are one item. A row that cannot be read and a file that is absent are
    problems; `BadFile` where no column names files or captions.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadFile(f"{path}: neither a folder nor a manifest ({', '.join(SUFFIXES)})")
    problems: list[Problem] = []
    rows = _jsonl(path, problems) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path, problems)
    if not rows:
        raise BadFile(f"{path}: there are no rows in it. {'; '.join(map(str, problems[:3]))}".rstrip())
    columns = _understand(path, rows)
    items = _gather(path, rows, columns, problems)
    if not items:
        raise BadFile(f"{path}: nothing in it can be used. {'; '.join(map(str, problems[:3]))}")
    layout = f"manifest {path.name}: " + ", ".join(f"{kind} from {' and '.join(names)}" for kind, names in columns.items())
    return Listing(path.parent, tuple(sorted(items, key=lambda item: item.id)), tuple(problems), layout)


Rows = list[tuple[int, dict[str, Any]]]
"""(line number, column -> value)."""


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: not UTF-8 (byte {error.object[error.start]:#04x} at {error.start}): save it as UTF-8") from error


def _csv(path: Path, problems: list[Problem]) -> Rows:
    text = _text(path)
    if not text.strip():
        raise BadFile(f"{path}: the file is empty")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=text.partition("\n")[0].count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: Rows = []
    try:
        header = [name.strip() for name in next(reader)]
        if len(set(header)) != len(header):
            raise BadFile(f"{path}: two columns have one name in {header}")
        for values in reader:
            if len(values) == len(header):
                rows.append((reader.line_num, dict(zip(header, values, strict=True))))
            elif values:
                cause = (
                    f"line {reader.line_num}: {len(values)} values for {len(header)} columns; quote those that hold {delimiter!r}"
                )
                problems.append(Problem(str(path), "manifest", cause))
    except csv.Error as error:
        raise BadFile(f"{path}: line {reader.line_num}: {error}") from error
    return rows


def _jsonl(path: Path, problems: list[Problem]) -> Rows:
    rows: Rows = []
    for number, line in enumerate(re.split(r"\r\n|\n", _text(path)), 1):
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


def _understand(path: Path, rows: Rows) -> dict[str, list[str]]:
    """kind (and "id") -> the columns that hold it; several, where their names differ by a number (caption_0, caption_1)."""
    columns = list(dict.fromkeys(name for _, row in rows[:LOOK] for name in row))
    plain = {name: re.sub(r"[\s\-]+", "_", name.strip().lower()) for name in columns}
    out: dict[str, list[str]] = {}
    for kind, names in NAMES.items():
        best = min((names.index(stem) for p in plain.values() if (stem := _stem(p)) in names), default=None)
        if best is not None:
            out[kind] = [name for name in columns if _stem(plain[name]) == names[best]]
    said = {name: kind for kind, names in out.items() for name in names}
    held = {name: _held(rows, name, said.get(name)) for name in columns}
    for kind in FILE_KINDS:  # a column may hold what its name does not say
        holds = [name for name in columns if held[name] == kind]
        named = [name for name in out.get(kind, []) if name in holds]
        generic = [name for name in holds if plain[name] in FILES]
        if chosen := named or generic[:1] or holds[:1]:
            out[kind] = chosen
            for other in out.keys() - {kind}:  # a picture in a column called "text" is a picture
                out[other] = [name for name in out[other] if name not in chosen]
    out = {kind: out[kind] for kind in NAMES if out.get(kind)}
    if not out.keys() - {"id"}:
        raise BadFile(
            f"{path}: no column names files or captions. Its columns: {', '.join(columns) or 'none'}. Expected one of "
            f"{', '.join(names[0] for kind, names in NAMES.items() if kind != 'id')}, or a column of file names"
        )
    return out


def _stem(name: str) -> str:
    return re.sub(r"_?\d+$", "", name)


def _held(rows: Rows, column: str, said: str | None) -> str | None:
    """The kind of file that nearly all values of a column name by their suffix; where that leaves a choice (a GIF), what the
    name of the column says."""
    values = [v for _, row in rows[:LOOK] if isinstance(v := row.get(column), str) and v.strip()]
    for kind in sorted(FILE_KINDS, key=lambda kind: kind != said):
        if values and sum(Path(v.strip()).suffix.lower() in MODALITIES[kind].suffixes for v in values) >= 0.9 * len(values):
            return kind
    return None


def _gather(path: Path, rows: Rows, columns: dict[str, list[str]], problems: list[Problem]) -> list[Item]:
    made: dict[Any, _Row] = {}
    taken: set[str] = set()
    understood = {name for names in columns.values() for name in names}
    for line, row in rows:
        named = {kind: list(_values(row, names)) for kind, names in columns.items()}
        files = tuple((kind, *named.get(kind, ())) for kind in FILE_KINDS)
        given = next(iter(named.get("id", ())), None)
        key = given if given is not None else files if any(len(f) > 1 for f in files) else line
        item = made.get(key)
        if item is None:
            id = given or _id(path, files, line, taken)
            taken.add(id)
            metadata = {name: value for name, value in row.items() if name not in understood}
            item = made[key] = _Row(id, metadata=metadata)
        for kind in named.keys() - {"id"}:
            for value in named[kind]:
                _add(item, kind, value, path, line, problems)
    return [Item(r.id, {kind: tuple(raws) for kind, raws in r.raws.items()}, r.metadata) for r in made.values() if r.raws]


def _values(row: dict[str, Any], names: list[str]) -> Iterator[str]:
    """The texts in some columns of a row; a list in JSON is several, blank and null are none."""
    for name in names:
        value = row.get(name)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and str(one).strip():
                yield str(one).strip()


def _id(path: Path, files: tuple[tuple[str, ...], ...], line: int, taken: set[str]) -> str:
    """A name for an item that has none: that of its first file, without the suffix where that is still free."""
    first = next((f[1] for f in files if len(f) > 1), None)
    if first is None:
        return f"{path.stem}-{line:06d}"
    name = Path(first).as_posix()
    short = Path(first).with_suffix("").as_posix()
    return next(id for id in (short, name, f"{name}-{line:06d}") if id not in taken)


def _add(item: _Row, kind: str, value: str, path: Path, line: int, problems: list[Problem]) -> None:
    """Adds a file or caption to an item, or tells why not, once."""
    raws = item.raws.get(kind, [])
    source = path.parent / value
    if value in item.refused or (kind != "text" and source in raws):
        return
    try:
        if kind == "text":
            names_file = value.lower().endswith(".txt") and " " not in value
            new = captions_of(source) if names_file else (value,)
        elif raws:
            raise BadFile(f"{source}: ignored: line {line} of {path.name}; {raws[0].name} is used for {item.id!r}")
        elif "://" in value:
            raise BadFile(f"{source}: {value}, on line {line} of {path.name}, is an address, not a file: fetch it first")
        elif not source.is_file():
            raise BadFile(f"{source}: absent, though line {line} of {path.name} names it")
        else:
            new = (source,)
        item.raws[kind] = [*raws, *new]
    except BadFile as error:
        item.refused.add(value)
        problems.append(problem(error, source, kind))
