"""Hugging Face data sets on disk: folders that `save_to_disk` wrote, and Parquet files; without `datasets`, decoding nothing."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import BadFile, need
from sensorium.core.files import read_json
from sensorium.core.protocols import Item
from sensorium.data.columns import LOOK, NAMES, Columns, Given, file_kinds, kind_of, may_split, told, understand, values
from sensorium.data.listing import Listing, Problem
from sensorium.data.rows import kept
from sensorium.data.sides import known, meanings, told_unknown
from sensorium.modalities import MODALITIES

if TYPE_CHECKING:
    import pyarrow as pa

MARKS = ("state.json", "dataset_dict.json")
FEATURES = {"Image": "image", "Audio": "audio", "Video": "video"}
"""What Hugging Face calls its kinds of files."""


@dataclass(frozen=True)
class Part:
    """The rows of one file that are in use, of one split. `rows`: their numbers in the file, None where all are."""

    file: Path
    length: int
    split: str = ""
    rows: Int[np.ndarray, " rows"] | None = None

    def row(self, i: int) -> int:
        return i if self.rows is None else int(self.rows[i])


@dataclass(frozen=True)
class Shape:
    """What the columns of all parts hold."""

    columns: Columns
    media: tuple[str, ...]
    """Columns whose cells hold files."""
    labels: Mapping[str, Sequence[str]]
    """Column of numbers -> the names of its labels."""
    sides: Mapping[str, str]
    """What each word means that the split column or the name of a part says (`sides.meanings`)."""


class Rows(Sequence[Item]):
    """A row an item, in the order of the tables (that of a disk is the fast one); made as they are asked for.

    An item is called by its id column where that is different for every row, else by its split and number; rows with one id
    are a group.
    """

    def __init__(self, parts: Sequence[Part], shape: Shape, unique: bool):
        self.parts, self.shape, self._unique = tuple(parts), shape, unique
        self._ends = np.cumsum([part.length for part in parts])
        before: dict[str, int] = {}
        self._first = []  # the number, within its split, of the first row of each part
        for part in parts:
            self._first.append(before.get(part.split, 0))
            before[part.split] = self._first[-1] + part.length

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_tables", "_there")}

    @overload
    def __getitem__(self, i: int) -> Item: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, i: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(len(self))))
        i = range(len(self))[i]
        which = int(np.searchsorted(self._ends, i, side="right"))
        part = self.parts[which]
        within = i - (int(self._ends[which - 1]) if which else 0)
        row = part.row(within)
        table = self._tables[which]
        cells = {name: table[name][row].as_py() for name in table.column_names}
        said = next(values(cells, self.shape.columns.get("id", ())), "")
        id = said if self._unique else f"{part.split or 'row'}-{self._first[which] + within:07d}"
        return self._item(id, said, part, cells, self._raws(which, row, cells))

    def _raws(self, which: int, row: int, cells: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
        from sensorium.data.cells import Cell

        raws: dict[str, tuple[Any, ...]] = {}
        for kind in file_kinds():
            for name in self.shape.columns.get(kind, ()):
                if kind in raws:
                    break
                if name in self.shape.media and self._there[which][name][row]:
                    raws[kind] = (Cell(str(self.parts[which].file), name, row),)
                elif name not in self.shape.media and cells[name]:
                    raws[kind] = (self.parts[which].file.parent / str(cells[name]),)
        if captions := tuple(values(cells, self.shape.columns.get("text", ()))):
            raws["text"] = captions
        return raws

    def _item(self, id: str, said: str, part: Part, cells: Mapping[str, Any], raws: dict[str, tuple[Any, ...]]) -> Item:
        understood = {name for names in self.shape.columns.values() for name in names}
        found = ((name, kept(value)) for name, value in cells.items() if name not in understood)
        metadata = {name: value for name, value in found if value is not None}
        for name, names in self.shape.labels.items():
            if name in metadata and 0 <= metadata[name] < len(names):
                metadata[name] = names[metadata[name]]
        if known(str(metadata.get("split", ""))):
            del metadata["split"]  # a column that was left aside must not decide
        if side := self._side(next(values(cells, self.shape.columns.get("split", ())), ""), part):
            metadata["split"] = side
        group = next(values(cells, self.shape.columns.get("group", ())), "") or ("" if self._unique else said)
        return Item(id, raws, metadata, group)

    def sides(self) -> tuple[list[str], list[str]]:
        """For each row its group, or else its id; and its split, as its column or its file says."""
        names: list[str] = []
        said: list[str] = []
        for which, part in enumerate(self.parts):
            of = {role: self._texts(which, role) for role in ("id", "group", "split")}
            for i in range(part.length):
                own = f"{part.split or 'row'}-{self._first[which] + i:07d}"
                names.append(of["group"][i] or of["id"][i] or own)
                said.append(self._side(of["split"][i], part))
        return names, said

    def fingerprint(self) -> str:
        """A hash of the files' names and sizes, of the rows that are used, and of how the columns were understood."""
        digest = hashlib.sha256(repr(self.shape).encode())
        for part in self.parts:
            digest.update(f"{part.file.name} {part.file.stat().st_size} {part.length} {part.split}".encode())
            digest.update(b"" if part.rows is None else part.rows.tobytes())
        return digest.hexdigest()

    def _side(self, word: str, part: Part) -> str:
        return self.shape.sides.get(word or part.split, "")

    def _texts(self, which: int, role: str) -> list[str]:
        """The text of a role in each row of a part, "" where there is none."""
        part = self.parts[which]
        if not (names := self.shape.columns.get(role, ())[:1]):
            return [""] * part.length
        said = self._tables[which][names[0]].to_pylist()
        chosen = said if part.rows is None else [said[row] for row in part.rows]
        return ["" if one is None else str(one).strip() for one in chosen]

    @cached_property
    def _tables(self) -> "list[pa.Table]":
        from sensorium.data import cells

        wanted = [name for name in cells.schema(self.parts[0].file).names if name not in self.shape.media]
        return [cells.plain(part.file, wanted) for part in self.parts]

    @cached_property
    def _there(self) -> list[dict[str, np.ndarray]]:
        from sensorium.data import cells

        used = [name for kind in file_kinds() for name in self.shape.columns.get(kind, ()) if name in self.shape.media]
        return [{name: cells.there(part.file, name) for name in used} for part in self.parts]


def is_saved(path: Path) -> bool:
    """Whether `save_to_disk` wrote a folder."""
    return any((path / name).is_file() for name in MARKS)


def scan(path: Path, columns: Given | None = None) -> Listing:
    """The rows of a data set that `save_to_disk` wrote: of all its splits, where it has several."""
    need("pyarrow", "hub", f"Reading the Hugging Face data set {path}")
    if (path / "dataset_dict.json").is_file():
        splits = read_json(path / "dataset_dict.json")["splits"]
        parts = [part for split in splits for part in _saved(path / split, split if len(splits) > 1 else "")]
        what = f"Hugging Face data set with the splits {', '.join(splits)}"
    else:
        parts, what = _saved(path, ""), "Hugging Face data set"
    return _listing(path, parts, columns, what)


def scan_tables(path: Path, files: Sequence[Path], columns: Given | None = None) -> Listing:
    """The rows of Parquet files; `train-00000-of-00002.parquet` says its split."""
    pq = need("pyarrow.parquet", "hub", f"Reading the Parquet files in {path}")
    words = {file: re.match(r"[a-z]*", file.stem.lower()).group() for file in files}  # type: ignore[union-attr]
    splits = {file: word if known(word) else "" for file, word in words.items()}
    if len(set(splits.values())) == 1:  # all in train: then nobody has split them yet
        splits = dict.fromkeys(files, "")
    parts = []
    for file in sorted(files):
        try:
            length = pq.ParquetFile(file).metadata.num_rows
        except Exception as error:  # pyarrow's exceptions have no base of their own
            raise BadFile(f"{file}: not a whole Parquet file: {error}") from error
        parts += [Part(file, length, splits[file])] if length else []
    return _listing(path, parts, columns, f"{len(files)} Parquet file{'s' if len(files) > 1 else ''}")


def _saved(path: Path, split: str) -> list[Part]:
    """The parts of one split: its files in their order, through the mapping of indices where it has one."""
    from sensorium.data import cells

    state = read_json(path / "state.json")
    if not isinstance(state, dict) or not isinstance(state.get("_data_files"), list):
        raise BadFile(f"{path / 'state.json'}: no list of _data_files in it: expected a folder that save_to_disk wrote")
    files = [path / one["filename"] for one in state["_data_files"]]
    lengths = [len(cells.plain(file, cells.schema(file).names[:1])) for file in files]
    mapping = state.get("_indices_data_files") or []
    if not mapping:
        return [Part(file, length, split) for file, length in zip(files, lengths, strict=True) if length]
    chosen = np.concatenate([_indices(path / one["filename"]) for one in mapping]).astype(np.int64)
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < sum(lengths):
        raise BadFile(f"{path / mapping[0]['filename']}: row {chosen.max()} of {sum(lengths)} rows")
    ends = np.cumsum(lengths)
    at = np.searchsorted(ends, chosen, side="right")
    parts = []
    for which, places in groupby(range(len(chosen)), key=lambda i: int(at[i])):  # a part for each run: the order is the user's
        rows = chosen[list(places)] - (ends[which] - lengths[which])
        parts.append(Part(files[which], len(rows), split, rows))
    return parts


def _indices(file: Path) -> np.ndarray:
    from sensorium.data import cells

    return cells.plain(file, ["indices"]).column("indices").to_numpy()


def _listing(path: Path, parts: list[Part], given: Given | None, what: str) -> Listing:
    if not parts:
        raise BadFile(f"{path}: there are no rows in it")
    _same_columns(parts)
    shape, problems = _shape(path, parts, given)
    unique = _is_unique(parts, shape)
    layout = f"{what}: {told(shape.columns)}"
    return Listing(path, Rows(parts, shape, unique), tuple(problems), layout)


def _shape(path: Path, parts: Sequence[Part], given: Given | None) -> tuple[Shape, list[Problem]]:
    """What the columns hold, and the words in a split column that are no split."""
    from sensorium.data import cells

    part = parts[0]
    schema = cells.schema(part.file)
    features = _features(schema)
    media = {field.name: _kind(field.name, features, schema) for field in schema if is_file_column(field.type)}
    media |= {name: kind for name, feature in features.items() if (kind := FEATURES.get(feature.get("_type", "")))}
    plain = [name for name in schema.names if name not in media]
    rows = cells.plain(part.file, plain).slice(0, LOOK).to_pylist()
    # what a file is called says what it is: so that columns of files are understood as those with names of files are
    named = {name: f"x{MODALITIES[kind].suffixes[0]}" for name, kind in media.items() if kind}
    words = {name: _rows_of_words(parts, name) for name in may_split(plain, given)}
    columns = understand(path, [{name: (row | named).get(name) for name in schema.names} for row in rows], given, words)
    firsts = next((words[name] for name in columns.get("split", ()) if name in words), {})
    problems = told_unknown(path, columns.get("split", [""])[0], firsts)
    sides = meanings([*firsts, *(part.split for part in parts)])
    labels = {name: feature["names"] for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
    return Shape(columns, tuple(media), labels, sides), problems


def _rows_of_words(parts: Sequence[Part], column: str) -> dict[str, int]:
    """The different texts in a column, and the row of all in which each is first."""
    from sensorium.data import cells

    words: dict[str, int] = {}
    before = 0
    for part in parts:
        said = cells.plain(part.file, [column]).column(0)
        for row, word in enumerate(said.to_pylist() if part.rows is None else said.take(part.rows).to_pylist(), before + 1):
            words.setdefault("" if word is None else str(word).strip(), row)
        before += part.length
    return words


def is_file_column(kind: "pa.DataType") -> bool:
    """Whether the cells of a column are whole files: bytes, or the `{bytes, path}` of Hugging Face."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _kind(name: str, features: Mapping[str, Any], schema: "pa.Schema") -> str | None:
    """The kind of the files in a column: as its feature says, or its name (cat.wav, image_bytes, photo)."""
    feature = features.get(name)
    if isinstance(feature, dict) and feature.get("_type") in FEATURES:
        return FEATURES[feature["_type"]]
    word = name.lower().removesuffix("_bytes")
    return next((kind for kind in file_kinds() if word in (kind, *NAMES.get(kind, ()))), kind_of(f"x.{word}"))


def _features(schema: "pa.Schema") -> dict[str, dict[str, Any]]:
    about = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(about).get("info", {}).get("features", {}) if about else {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict) and name in schema.names}


def _same_columns(parts: Sequence[Part]) -> None:
    """Files whose columns are not those of the first cannot be rows of one table."""
    from sensorium.data import cells

    first = cells.schema(parts[0].file)
    for part in parts[1:]:
        if missing := set(first.names) - set(cells.schema(part.file).names):
            raise BadFile(f"{part.file}: it lacks the columns {sorted(missing)}, which {parts[0].file.name} has")


def holds_files(file: Path) -> bool:
    """Whether a Parquet file has columns whose cells are whole files; else it is a manifest, which names them."""
    from sensorium.data import cells

    return any(is_file_column(field.type) for field in cells.schema(file))


def _is_unique(parts: Sequence[Part], shape: Shape) -> bool:
    from sensorium.data import cells

    if not (names := shape.columns.get("id", ())[:1]):
        return False
    ids: set[str] = set()
    for part in parts:
        column = cells.plain(part.file, names).column(0)
        said = column.to_pylist() if part.rows is None else column.take(part.rows).to_pylist()
        ids.update(str(one) for one in said if one is not None)
    return len(ids) == sum(part.length for part in parts)
