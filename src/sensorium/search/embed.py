"""Items as entries of a store: unit vectors by field of the whole or of its parts, paths, captions, and a thumbnail."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.data.folder import opened
from sensorium.data.listing import Problem, problem
from sensorium.data.ready import READERS, begun
from sensorium.modalities import BadRaw, picture_file
from sensorium.modalities.image import Image
from sensorium.modalities.picture_changes import jpeg
from sensorium.modalities.text import Text
from sensorium.search.cutting import Window, passages, windows
from sensorium.search.rows import Entry, Piece, Row
from sensorium.search.stamps import called

THUMBNAIL = 160
"""The longest side of a thumbnail in pixels."""
_ITEMS = 128  # items a call of the model; it makes its own batches of their raws
_WINDOWS = 64  # parts of one long thing that are held at once


@runtime_checkable
class Model(Protocol):
    """What is needed of a `Sensorium`: its senses, who it is, and unit vectors of raw things."""

    @property
    def fields(self) -> tuple[Modality, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    def encode(self, **raws: Raw) -> dict[str, Float[np.ndarray, "N D"]]: ...


def embed(model: Model, items: Iterable[Item], root: Path | None) -> Iterator[list[Entry]]:
    """Yields the entries of a block of items at a time, one an item.

    What is longer than the model takes at once gets a piece for each part. A file that cannot be read is a problem of its entry,
    which goes on without that field; of an item of which nothing can be embedded there is an entry without pieces, and that is a
    problem too. `root`: paths inside of it are kept relative to it. Two blocks are at work: while the model reads the last things
    of one, the first of the next are made ready.
    """
    rest, drawing, working = iter(items), ThreadPoolExecutor(READERS), ThreadPoolExecutor(2)
    blocks = iter(lambda: list(islice(rest, _ITEMS)), [])
    try:
        for entries in begun(working.submit(_entries, model, block, root, drawing) for block in blocks):
            yield entries.result()
    finally:
        for pool in (working, drawing):
            pool.shutdown(cancel_futures=True)


def _entries(model: Model, block: Sequence[Item], root: Path | None, drawing: ThreadPoolExecutor) -> list[Entry]:
    """Those of one block, whose thumbnails are drawn while the model is at work."""
    drawn = [drawing.submit(_thumbnail, model, item) for item in block]
    problems: list[list[Problem]] = [[] for _ in block]
    pieces = _pieces(model, block, problems)
    entries = []
    for item, own, told, thumbnail in zip(block, pieces, problems, drawn, strict=True):
        picture, unread = thumbnail.result()
        told += [one for one in unread if one not in told]  # it is there already where the model has a field for pictures
        if not any(piece.vectors for piece in own):
            kinds = ", ".join(field.kind for field in model.fields)
            told.append(Problem(item.id, "item", f"left out: nothing of it could be embedded as {kinds}"))
        entries.append(Entry(_row(item, root), tuple(own), picture, tuple(told)))
    return entries


def unit(vector: Float[np.ndarray, " D"]) -> Float[np.ndarray, " D"] | None:
    """The vector at length 1; None where it has no direction: its length is 0, or not a finite number."""
    norm = float(np.linalg.norm(vector))
    return (vector / norm).astype(np.float32) if 1e-6 < norm < np.inf else None


def _pieces(model: Model, items: Sequence[Item], problems: list[list[Problem]]) -> list[list[Piece]]:
    """For each item its unit vectors: first those of all that is taken whole, then those of the parts of what is not.
    Alternatives (several captions) become the normalised mean of theirs."""
    out = [[Piece({})] for _ in items]
    for field in model.fields:
        owned: list[tuple[int, Raw]] = []
        long: list[tuple[int, Raw, Iterator[Window]]] = []
        for i, item in enumerate(items):
            for raw, parts in _cut(field, item, problems[i]):
                if parts is None:
                    owned.append((i, raw))
                else:
                    long.append((i, raw, parts))
        vectors: dict[int, list[np.ndarray]] = {}
        results = _attempt(model, field.name, [raw for _, raw in owned])
        for (i, raw), result in zip(owned, results, strict=True):
            if isinstance(result, Exception):
                problems[i].append(problem(result, raw, field.kind))
            else:
                vectors.setdefault(i, []).append(result)
        for i, own in vectors.items():
            direction = unit(np.sum(own, axis=0))
            out[i][0].vectors[field.name] = own[0] if direction is None else direction
        for i, raw, parts in long:
            out[i] += _parts(model, field, raw, parts, problems[i])
    return out


def _cut(field: Modality, item: Item, problems: list[Problem]) -> Iterator[tuple[Raw, Iterator[Window] | None]]:
    """The things of a field with their parts; None for those that are taken whole."""
    raws = item.raws.get(field.kind, ())
    if field.kind == Text.kind and raws and all(isinstance(raw, str) for raw in raws):
        whole, parts = passages(field, raws, alone=set(item.raws) == {field.kind})
        yield from ((raw, None) for raw in whole)
        if len(whole) < len(raws):
            yield item.id, parts
        return
    for raw in raws:
        try:
            yield raw, windows(field, raw)
        except BadFile as error:
            problems.append(problem(error, raw, field.kind))


def _parts(model: Model, field: Modality, raw: Raw, parts: Iterator[Window], problems: list[Problem]) -> list[Piece]:
    """The pieces of one long thing, as far as it can be read."""
    out: list[Piece] = []
    try:
        while some := list(islice(parts, _WINDOWS)):
            results = _attempt(model, field.name, [window.raw for window in some])
            for window, result in zip(some, results, strict=True):
                if isinstance(result, Exception):
                    problems.append(problem(result, raw, field.kind))
                else:
                    out.append(Piece({field.name: result}, window.start, window.end, window.passage or None))
    except BadFile as error:
        problems.append(problem(error, raw, field.kind))
    return out


def _attempt(model: Model, name: str, raws: list[Raw]) -> list[np.ndarray | BadFile | BadRaw]:
    """A vector a raw thing, or the reason why there is none; a block with a broken file is halved until that is found."""
    if not raws:
        return []
    try:
        return list(model.encode(**{name: raws})[name])
    except (BadFile, BadRaw) as error:
        if len(raws) == 1:
            return [error]
    half = len(raws) // 2
    return _attempt(model, name, raws[:half]) + _attempt(model, name, raws[half:])


def _row(item: Item, root: Path | None) -> Row:
    paths = {kind: raw for kind, raws in item.raws.items() for raw in raws[:1] if isinstance(raw, Path)}
    captions = tuple(raw for raws in item.raws.values() for raw in raws if isinstance(raw, str))
    if set(item.raws) == {Text.kind} and root is not None and (note := _note(item.id, root)):
        paths[Text.kind] = note
    return Row(item.id, {kind: called(path, root) for kind, path in paths.items()}, captions, item.metadata)


def _note(id: str, root: Path) -> Path | None:
    """The file of an item that is a text alone, which is called as the item is: a person wants to open what was found."""
    places = (folder / f"{id}{suffix}" for folder in (root, root / Text.folder) for suffix in Text.suffixes)
    return next((path for path in places if path.is_file()), None)


def _thumbnail(model: Model, item: Item) -> tuple[bytes | None, list[Problem]]:
    """A JPEG of the item's first picture; else of the first of its things that the model's fields show as a picture (the
    frames of a clip); None where there is nothing to look at. With what is wrong with that picture."""
    problems = []
    for raw in item.raws.get(Image.kind, ())[:1]:
        try:
            return jpeg(picture_file.read(opened(raw), THUMBNAIL), THUMBNAIL), []
        except BadFile as error:
            problems.append(problem(error, raw, Image.kind))
    for field in model.fields:
        for raw in item.raws.get(field.kind, ())[:1]:
            try:
                made = jpeg(field.show(field.prepare(opened(raw))[field.name]), THUMBNAIL)
            except (BadFile, BadRaw):  # told where it was embedded
                continue
            if made is not None:
                return made, problems
    return None, problems
