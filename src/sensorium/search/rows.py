"""Items as rows of a store, and back. A row is a piece of an item; its first piece holds what is known of the whole.

The key of a row is the id of its item and the number of the piece. Columns besides: `item`, `part` and `parts` (0 of an item of
which nothing could be embedded), `starts` and `ends` in seconds, `passage`; `vector_<field>`; what filters look at, as
`number_<name>`, `word_<name>` or `flag_<name>`; and in the first piece `has_<field>`, `record`, `stamp`, `problems` and
`thumbnail`.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import SensoriumError
from sensorium.data.listing import Problem
from sensorium.search.store import KEY

KINDS = ("video", "image", "audio", "sensor")
"""An item is of the first of these kinds that it has a file of, unless its metadata say another `kind`."""
MOST_PIECES = 999_999
"""A piece of an item has a smaller number: keys have six digits for it."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_COLUMNS: dict[str, pa.DataType] = {
    KEY: pa.string(),
    "item": pa.string(),
    "part": pa.int32(),
    "parts": pa.int32(),
    "starts": pa.float64(),
    "ends": pa.float64(),
    "passage": pa.string(),
    "record": pa.string(),
    "stamp": pa.string(),
    "problems": pa.string(),
    "thumbnail": pa.large_binary(),
}


@dataclass(frozen=True)
class Row:
    """What is known of an item besides its vectors. `paths` holds a file a kind, relative to the collection's root."""

    id: str
    paths: dict[str, str] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


class Piece(NamedTuple):
    """A part of an item that has vectors of its own, by field; the first of an item may have none."""

    vectors: dict[str, Float[np.ndarray, " D"]]
    start: float | None = None
    end: float | None = None
    passage: str | None = None


@dataclass(frozen=True)
class Entry:
    """One item as it goes into a store: a vector for each field of each piece, and a JPEG where there is a picture."""

    row: Row
    pieces: tuple[Piece, ...]
    thumbnail: bytes | None = None
    problems: tuple[Problem, ...] = ()
    stamp: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for piece in self.pieces for name in piece.vectors))


def table(entries: Sequence[Entry]) -> pa.Table:
    """The rows of some entries. `SensoriumError` for metadata that JSON cannot hold."""
    rows = [row for entry in entries for row in _rows(entry)]
    kinds = dict(_COLUMNS)
    for row in rows:
        for name, value in row.items():
            if name not in kinds:
                kinds[name] = pa.list_(pa.float32(), len(value)) if name.startswith("vector_") else _kind(value)
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    return pa.table(columns)


def row_of(record: str) -> Row:
    """What `record` of a first piece says."""
    said = json.loads(record)
    return Row(**{**said, "captions": tuple(said["captions"])})


def key(id: str, part: int = 0) -> str:
    """The key of a piece; keys of one item lie together."""
    return f"{_written(id)}\t{part:06d}"


def item_of(key: str) -> str:
    """The value of `item` in the row of a key."""
    return key.rpartition("\t")[0]


def column(kind: str, name: str) -> str:
    """The column of a field, or of something that is told of items, whatever it is called."""
    spelt = "".join(c if c in _PLAIN else "__" if c == "_" else f"_{ord(c):x}_" for c in name)
    return f"{kind}_{spelt}"


def named(column: str) -> str:
    """What a column of `column` is called."""
    spelt, out = column.partition("_")[2], ""
    while spelt:
        plain, mark, rest = spelt.partition("_")
        code, _, after = rest.partition("_")
        out += plain + (chr(int(code, 16)) if mark and code else "_" if mark else "")
        spelt = after
    return out


def _rows(entry: Entry) -> list[dict[str, Any]]:
    row = entry.row
    facts = _facts(row)
    written = {name: piece.vectors for name, piece in enumerate(entry.pieces)}
    parts = len(entry.pieces) if any(written.values()) else 0
    out = []
    for part, piece in enumerate(entry.pieces or (Piece({}),)):
        made = {KEY: key(row.id, part), "item": _written(row.id), "part": part, "parts": parts}
        made |= {"starts": piece.start, "ends": piece.end, "passage": None if piece.passage is None else _written(piece.passage)}
        out.append(made | facts | {column("vector", name): vector for name, vector in piece.vectors.items()})
    out[0] |= {column("has", name): True for name in entry.fields}
    out[0] |= {"record": _json(row), "stamp": entry.stamp, "thumbnail": entry.thumbnail}
    out[0]["problems"] = json.dumps([asdict(problem) for problem in entry.problems]) if entry.problems else None
    return out


def _facts(row: Row) -> dict[str, Any]:
    """What filters look at. Numbers that a table holds as words are both; what is neither word, number nor truth value is not,
    nor is a number that is too large to compare by."""
    facts: dict[str, Any] = {}
    kind = next((kind for kind in (*KINDS, *row.paths) if kind in row.paths), "text")
    told = {"kind": kind, **row.metadata}
    for name, value in told.items():
        if isinstance(value, bool):
            facts[column("flag", name)] = value
        elif isinstance(value, int | float):
            if (number := _finite(value)) is not None:
                facts[column("number", name)] = number
        elif isinstance(value, str):
            facts[column("word", name)] = _written(value)
            if (number := _number(value)) is not None:
                facts[column("number", name)] = number
    return facts


def _number(text: str) -> float | None:
    return _finite(float(text)) if _NUMBER.fullmatch(text) else None


def _finite(value: float) -> float | None:
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _kind(value: Any) -> pa.DataType:
    return pa.bool_() if isinstance(value, bool) else pa.float64() if isinstance(value, float) else pa.string()


def _json(row: Row) -> str:
    try:
        return json.dumps(asdict(row), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SensoriumError(f"item {row.id!r}: its metadata cannot be kept as JSON: {error}") from error


def _written(text: str) -> str:
    """Names of files may hold bytes that are no UTF-8: these are written as escapes. The record has them as they are."""
    return text.encode("utf-8", "backslashreplace").decode()
