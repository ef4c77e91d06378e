"""Which rows of a large table belong to one item: by sorting whole columns, not row by row."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Int

from sensorium.data.columns import Columns, file_kinds
from sensorium.data.rows import stem

compute: Any = pyarrow.compute
"""Its functions are made when it is imported, so that a type checker does not know them."""
SUFFIX = r"([^/])\.[^./]+$"
"""As `rows.stem` has it."""
ODD_PATH = r"[^:]//|(^|/)\./|/$"
"""A path that is not as short as it could be, and so no name for an item."""


WORDS = 6
"""Texts of up to as many times eight bytes are sorted as numbers."""
STEP = 2**15


@dataclass(frozen=True)
class Groups:
    """Items as rows: item i is rows `order[starts[i]]` to `order[starts[i + 1]]` (not included); `ids` has the id of each row."""

    ids: pa.ChunkedArray
    order: Int[np.ndarray, " rows"]
    starts: Int[np.ndarray, " items_and_1"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def id(self, i: int) -> str:
        return self.ids[int(self.order[self.starts[i]])].as_py()

    def rows(self, i: int) -> list[int]:
        return self.order[self.starts[i] : self.starts[i + 1]].tolist()

    def firsts(self) -> Int[np.ndarray, " items"]:
        return self.order[self.starts[:-1]]


def group(manifest: str, table: pa.Table, lines: Int[np.ndarray, " rows"], columns: Columns) -> Groups | None:
    """Groups rows with one id, or else with the same files; None where columns hold what whole columns cannot be told by."""
    files = [_text(table[name]) for kind in file_kinds() for name in columns.get(kind, ())]
    given = [_text(table[name]) for name in columns.get("id", ())[:1]]
    texts = [table[name] for name in columns.get("text", ())]
    if any(column is None for column in (*files, *given)) or any(_has_objects(text.type) for text in texts):
        return None
    first = files[0] if len(files) == 1 else pa.chunked_array([pa.nulls(len(table), pa.string())])
    if len(files) > 1:
        first = compute.coalesce(*files)
    if compute.any(compute.match_substring_regex(first, ODD_PATH)).as_py():
        return None
    held = _held(files, texts, len(table))
    stems = compute.replace_substring_regex(first, SUFFIX, r"\1")
    ids = compute.coalesce(*given, stems) if given else stems
    if ids.null_count:
        ids = _numbered(manifest, ids, lines)
    named = compute.is_valid(given[0]).to_numpy(zero_copy_only=False) if given else np.zeros(len(table), bool)
    rows = np.flatnonzero(held).astype(np.int32 if len(table) < 2**31 else np.int64)
    for level in range(3):
        order, new = _sorted(ids, rows)
        clashes = _clashes(files, named, order, new)
        if not len(clashes):
            return Groups(ids, order, np.append(np.flatnonzero(new), len(order)).astype(order.dtype))
        ids = _apart(ids, first, files, named, lines, order, new, clashes, level)
    return None


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as trimmed texts, null where blank; None where it holds anything but texts or whole numbers."""
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        return None
    text = column if pa.types.is_string(kind) else column.cast(pa.string())
    if compute.any(compute.match_substring_regex(text, r"^\s|\s$|^$")).as_py():
        text = compute.utf8_trim_whitespace(text)
        text = compute.if_else(compute.equal(text, ""), pa.scalar(None, text.type), text)
    return text


def _has_objects(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))


def _held(files: list[pa.ChunkedArray], texts: list[pa.ChunkedArray], n: int) -> np.ndarray:
    """Which rows hold anything at all."""
    held = np.zeros(n, bool)
    for column in files:
        held |= compute.is_valid(column).to_numpy(zero_copy_only=False)
    for column in texts if not held.all() else ():
        here = compute.is_valid(column)
        if pa.types.is_string(column.type):
            here = compute.and_(here, compute.match_substring_regex(column, r"\S")).fill_null(False)
        held |= here.to_numpy(zero_copy_only=False)
    return held


def _numbered(manifest: str, ids: pa.ChunkedArray, lines: np.ndarray) -> pa.ChunkedArray:
    """Names by their line for the rows that name no file."""
    without = compute.is_null(ids)
    names = [f"{manifest}-{line:06d}" for line in lines[without.to_numpy(zero_copy_only=False)]]
    return _replaced(ids, without.to_numpy(zero_copy_only=False), names)


def _sorted(ids: pa.ChunkedArray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order of their ids (their own where ids are equal), and which of them start a new id."""
    texts = ids if len(rows) == len(ids) else ids.take(pa.array(rows))
    new = np.ones(len(rows), bool)
    if (words := _words(texts)) is not None:
        order = np.lexsort(words[::-1]).astype(rows.dtype)
        new[1:] = False
        for word in words:
            word = word[order]
            new[1:] |= word[1:] != word[:-1]
        return rows[order], new
    whole = texts.combine_chunks()
    order = compute.array_sort_indices(whole)
    whole = whole.take(order)
    if len(rows) > 1:
        new[1:] = compute.not_equal(whole[1:], whole[:-1]).to_numpy(zero_copy_only=False)
    return rows[order.to_numpy()], new


def _words(texts: pa.ChunkedArray) -> list[np.ndarray] | None:
    """Texts as a few columns of u64 that sort as they do, which NumPy does faster than Arrow sorts texts; None for long ones.

    Eight bytes a column, the first of them highest; a text that ends before is filled with zeros, which no text holds.
    """
    longest = compute.max(compute.binary_length(texts)).as_py()
    if not pa.types.is_string(texts.type) or texts.null_count or not longest or longest > WORDS * 8:
        return None
    words = []
    for first in range(0, longest, 8):
        word = np.concatenate([_word(chunk, first) for chunk in texts.chunks if len(chunk)])
        if (word != word[0]).any():  # a common beginning decides nothing
            words.append(word)
    return words or [np.zeros(len(texts), np.uint64)]


def _word(texts: pa.Array, first: int) -> np.ndarray:
    """Bytes `first` to `first` + 8 of each text as one number, a few rows at a time: each is eight indices."""
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(content, np.uint8)
    word = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), STEP):
        edges = ends[start : start + STEP + 1].astype(np.int64)
        places = edges[:-1, None] + np.arange(first, first + 8)
        held = np.where(places < edges[1:, None], data[np.minimum(places, len(data) - 1)], np.uint8(0))
        word[start : start + STEP] = held.view(">u8")[:, 0]
    return word


def _clashes(files: list[pa.ChunkedArray], named: np.ndarray, order: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Places in `order` of rows that have the id of the row before them and not its files, though no one gave them that id."""
    places = np.flatnonzero(~new)
    if not len(places):
        return places
    here, before = order[places], order[places - 1]
    differ = np.zeros(len(places), bool)
    for column in files:
        a, b = (column.take(pa.array(rows)).fill_null("") for rows in (here, before))
        differ |= compute.not_equal(a, b).to_numpy(zero_copy_only=False)
    return places[differ & ~(named[here] & named[before])]


def _apart(
    ids: pa.ChunkedArray,
    first: pa.ChunkedArray,
    files: list[pa.ChunkedArray],
    named: np.ndarray,
    lines: np.ndarray,
    order: np.ndarray,
    new: np.ndarray,
    clashes: np.ndarray,
    level: int,
) -> pa.ChunkedArray:
    """Longer ids for the items that have to give way: a name with its suffix, then with its line too. Given ids never do."""
    starts = np.flatnonzero(new)
    changed: dict[int, str] = {}
    for run in np.unique(np.searchsorted(starts, clashes, side="right") - 1):
        end = starts[run + 1] if run + 1 < len(starts) else len(order)
        apart: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
        members = order[starts[run] : end].tolist()
        for row in members:
            if not named[row]:
                apart[tuple(column[row].as_py() for column in files)].append(row)
        for others in list(apart.values())[0 if named[members].any() else 1 :]:
            name = first[others[0]].as_py() or ids[others[0]].as_py()
            changed |= dict.fromkeys(others, name if level == 0 and stem(name) != name else f"{name}-{lines[others[0]]:06d}")
    mask = np.zeros(len(ids), bool)
    mask[list(changed)] = True
    return _replaced(ids, mask, [changed[row] for row in sorted(changed)])


def _replaced(ids: pa.ChunkedArray, mask: np.ndarray, names: list[str]) -> pa.ChunkedArray:
    whole = compute.replace_with_mask(ids.combine_chunks(), pa.array(mask), pa.array(names, ids.type))
    return pa.chunked_array([whole])
