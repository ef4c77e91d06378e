"""Items as entries of a store: unit vectors by field, paths, captions, and a thumbnail."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.data.folder import opened
from sensorium.data.listing import Problem, problem
from sensorium.modalities import picture_file
from sensorium.modalities.image import Image
from sensorium.modalities.picture_changes import jpeg
from sensorium.search.store import Entry, Row

THUMBNAIL = 160
"""The longest side of a thumbnail in pixels."""
_ITEMS = 128  # items a call of the model; it makes its own batches of their raws


@runtime_checkable
class Model(Protocol):
    """What is needed of a `Sensorium`: its senses, who it is, and unit vectors of raw things."""

    @property
    def fields(self) -> tuple[Modality, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    def encode(self, **raws: Raw) -> dict[str, Float[np.ndarray, "N D"]]: ...


def embed(model: Model, items: Iterable[Item], root: Path | None, problems: list[Problem]) -> Iterator[tuple[int, list[Entry]]]:
    """Yields, a block at a time, how many items were read and the entries made of them.

    A file that cannot be read is appended to `problems` and its item goes on without that field; an item of which nothing
    can be embedded is left out, which is a problem too. `root`: paths inside of it are kept relative to it.
    """
    rest = iter(items)
    while block := list(islice(rest, _ITEMS)):
        vectors = _vectors(model, block, problems)
        for item, own in zip(block, vectors, strict=True):
            if not own:
                kinds = ", ".join(field.kind for field in model.fields)
                problems.append(Problem(item.id, "item", f"left out: nothing of it could be embedded as {kinds}"))
        whole = [(item, own) for item, own in zip(block, vectors, strict=True) if own]
        yield len(block), [Entry(_row(item, root), own, _thumbnail(model, item, problems)) for item, own in whole]


def unit(vector: Float[np.ndarray, " D"]) -> Float[np.ndarray, " D"] | None:
    """The vector at length 1; None where it has no direction: its length is 0, or not a finite number."""
    norm = float(np.linalg.norm(vector))
    return (vector / norm).astype(np.float32) if 1e-6 < norm < np.inf else None


def _vectors(model: Model, items: Sequence[Item], problems: list[Problem]) -> list[dict[str, np.ndarray]]:
    """For each item its unit vectors; alternatives (several captions) become the normalised mean of theirs."""
    out: list[dict[str, np.ndarray]] = [{} for _ in items]
    for field in model.fields:
        owned = [(i, raw) for i, item in enumerate(items) for raw in item.raws.get(field.kind, ())]
        vectors: dict[int, list[np.ndarray]] = {}
        results = _attempt(model, field.name, [raw for _, raw in owned])
        for (i, raw), result in zip(owned, results, strict=True):
            if isinstance(result, BadFile):
                problems.append(problem(result, raw, field.kind))
            else:
                vectors.setdefault(i, []).append(result)
        for i, own in vectors.items():
            direction = unit(np.sum(own, axis=0))
            out[i][field.name] = own[0] if direction is None else direction
    return out


def _attempt(model: Model, name: str, raws: list[Raw]) -> list[np.ndarray | BadFile]:
    """A vector a raw thing, or the reason why there is none; a block with a broken file is halved until that is found."""
    if not raws:
        return []
    try:
        return list(model.encode(**{name: raws})[name])
    except BadFile as error:
        if len(raws) == 1:
            return [error]
    half = len(raws) // 2
    return _attempt(model, name, raws[:half]) + _attempt(model, name, raws[half:])


def _row(item: Item, root: Path | None) -> Row:
    paths = {kind: raw for kind, raws in item.raws.items() for raw in raws[:1] if isinstance(raw, Path)}
    captions = tuple(raw for raws in item.raws.values() for raw in raws if isinstance(raw, str))
    return Row(item.id, {kind: _place(path, root) for kind, path in paths.items()}, captions, item.metadata)


def _thumbnail(model: Model, item: Item, problems: list[Problem]) -> bytes | None:
    """A JPEG of the item's first picture; else of the first of its things that the model's fields show as a picture (the
    frames of a clip); None where there is nothing to look at."""
    for raw in item.raws.get(Image.kind, ())[:1]:
        try:
            return jpeg(picture_file.read(opened(raw), THUMBNAIL), THUMBNAIL)
        except BadFile as error:
            found = problem(error, raw, Image.kind)
            if found not in problems:  # it is there already where the model has a field for pictures
                problems.append(found)
    for field in model.fields:
        for raw in item.raws.get(field.kind, ())[:1]:
            try:
                made = jpeg(field.show(field.prepare(opened(raw))[field.name]), THUMBNAIL)
            except BadFile:  # told where it was embedded
                continue
            if made is not None:
                return made
    return None


def _place(path: Path, root: Path | None) -> str:
    whole = path.resolve()
    inside = root is not None and whole.is_relative_to(root.resolve())
    return whole.relative_to(root.resolve()).as_posix() if inside and root is not None else str(whole)
