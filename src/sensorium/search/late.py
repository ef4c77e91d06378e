"""Hits put in another order by what they are made of: tokens of the query and of what was found, each with its nearest (Khattab &
Zaharia 2020, ColBERT, equation 3; Yao et al. 2022, FILIP, for the patches of pictures)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Grid
from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened
from sensorium.data.listing import Problem, problem
from sensorium.modalities import BadRaw, Text
from sensorium.models.pieces import pieces
from sensorium.search.centre import Centred
from sensorium.search.collection import Collection, Hit
from sensorium.search.cutting import window
from sensorium.search.embed import Model
from sensorium.search.mixed import Term
from sensorium.search.prefix import Prefix
from sensorium.sensorium import Sensorium

Prepared = dict[str, np.ndarray]
"""What a field makes of a thing."""


@dataclass(frozen=True)
class Tokens:
    """A thing as vectors of length 1. `array`: as the model has it; `grid`: where the last of the vectors lie; `words`: what each
    token of a text is of it ("" for marks of start and end)."""

    field: Modality
    array: np.ndarray
    vectors: Float[np.ndarray, "L D"]
    mask: Bool[np.ndarray, " L"]
    grid: Grid
    words: tuple[str, ...] = ()

    def laid(self, values: Float[np.ndarray, " L"]) -> Float[np.ndarray, "..."]:
        """A value a token, as a map over the thing: 0 where there is no token; learned tokens are left out."""
        shape = tuple(n for n, _ in self.grid)
        return np.where(self.mask, values, 0)[len(values) - prod(shape) :].reshape(shape)


@dataclass(frozen=True)
class Match:
    """What of a query's thing is like what of a hit: cosines of their tokens [Q L], those that are not there −1."""

    asked: Tokens
    found: Tokens
    cosines: Float[np.ndarray, "Q L"]

    @property
    def score(self) -> float:
        """The mean, over the tokens of what was asked, of the cosine of the nearest token."""
        return float(self.cosines.max(1)[self.asked.mask].mean())

    @property
    def nearest(self) -> Int[np.ndarray, " Q"]:
        return self.cosines.argmax(1)


@dataclass(frozen=True)
class Reordered:
    """The hits in their new order, each with its `late` score where it was among those that were looked at; for each hit what of
    the query it was compared with; and what could not be read of them."""

    hits: list[Hit]
    matches: dict[str, list[Match]]
    problems: list[Problem]


Known = dict[tuple[str, str, float | None, str], list[Tokens]]
"""The tokens of hits by id, field, start and caption."""


def rerank(
    collection: Collection, model: Model, asked: Sequence[Term], hits: Sequence[Hit], n: int, known: Known | None = None
) -> Reordered:
    """The first `n` hits by the sum, over what was asked, of weight × `Match.score`; the others, and those whose files cannot be
    read again, come after them as they were. Each file is read, and encoded, anew, but for those in `known`, where all are
    remembered. `NoTokens` for a model without such."""
    inner = whole(model)
    things = [(term.weight, one) for term in asked for one in tokens(inner, term.field, [term.raw])]
    known = {} if known is None else known
    keys = {hit.id: (hit.id, hit.field, hit.start, hit.caption) for hit in hits[:n]}
    things_of, problems = _read(collection, inner, [hit for hit in hits[:n] if keys[hit.id] not in known])
    for name in dict.fromkeys(field for field, _ in things_of.values()):
        owned = [(id, made) for id, (field, some) in things_of.items() if field == name for made in some]
        for (id, _), one in zip(owned, read(inner, name, [made for _, made in owned]), strict=True):
            known.setdefault(keys[id], []).append(one)
    found = {id: known[place] for id, place in keys.items() if place in known}
    matches = {id: [nearest(one, some) for _, one in things] for id, some in found.items()}
    scores = {id: sum(w * one.score for (w, _), one in zip(things, some, strict=True)) for id, some in matches.items()}
    told = [replace(hit, late=scores.get(hit.id)) for hit in hits]
    order = sorted((hit for hit in told if hit.late is not None), key=lambda hit: (-(hit.late or 0), hit.id))
    return Reordered([*order, *(hit for hit in told if hit.late is None)], matches, problems)


def match(asked: Tokens, found: Tokens) -> Match:
    """How much each token of one is like each of the other."""
    cosines = asked.vectors @ found.vectors.T
    return Match(asked, found, np.where(asked.mask[:, None] & found.mask[None], cosines, np.float32(-1)))


def nearest(asked: Tokens, found: Sequence[Tokens]) -> Match:
    """The best match among several things, such as the captions of an item."""
    return max((match(asked, one) for one in found), key=lambda one: one.score)


def tokens(model: Sensorium, name: str, raws: Sequence[Raw]) -> list[Tokens]:
    """Things of a field by their tokens. `NoTokens` where they do not come into the shared space, `BadFile` and `BadRaw` for a
    thing that cannot be read."""
    field = model.field(name)
    return read(model, name, [field.prepare(opened(raw)) for raw in raws])


def read(model: Sensorium, name: str, made: Sequence[Prepared]) -> list[Tokens]:
    """The same for what the field has prepared."""
    if not made:
        return []
    field = model.field(name)
    batch = {key: np.stack([one[key] for one in made]) for key in made[0]}
    vectors, mask, grid = pieces(model.model, name, batch)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-9)
    out = []
    for i, one in enumerate(made):
        words = _words(field, one[name]) if isinstance(field, Text) else ()
        out.append(Tokens(field, one[name], vectors[i], mask[i], grid, words))
    return out


def _words(field: Text, numbers: Int[np.ndarray, " L"]) -> tuple[str, ...]:
    """What each token adds to the text that is shown: a new word begins with a space."""
    out, before = [], ""
    for end in range(1, len(numbers) + 1):
        now = field.show(numbers[:end])
        same = next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
        out.append(now[same:])
        before = now
    return tuple(out)


def whole(model: Model) -> Sensorium:
    """The model whose tokens are read. `BadRaw` where there is no `Sensorium` in it."""
    inner = model
    while isinstance(inner, Prefix | Centred):
        inner = inner.model
    if not isinstance(inner, Sensorium):
        raise BadRaw(f"tokens are read by a Sensorium, and this model is a {type(inner).__name__}")
    return inner


def _read(
    collection: Collection, model: Sensorium, hits: Sequence[Hit]
) -> tuple[dict[str, tuple[str, list[Prepared]]], list[Problem]]:
    """The field and the things of each hit that can be read again."""
    out: dict[str, tuple[str, list[Prepared]]] = {}
    problems: list[Problem] = []
    for hit in hits:
        field = model.field(hit.field)
        try:
            out[hit.id] = hit.field, [field.prepare(opened(raw)) for raw in _raws(collection, field, hit)]
        except (BadFile, BadRaw) as error:
            problems.append(problem(error, hit.path or hit.id, field.kind))
    return out, problems


def _raws(collection: Collection, field: Modality, hit: Hit) -> list[Raw]:
    if field.kind == Text.kind:
        return list(texts(hit, collection.row(hit.id).captions))
    path = collection.file(hit.id, field.kind)
    if path is None:
        raise BadFile(f"{hit.id}: where its {field.kind} lies is not known (it came from a table, a tar file or an address)")
    return [path if hit.start is None else window(field, path, hit.start)]


def texts(hit: Hit, captions: Sequence[str]) -> Sequence[str]:
    """The texts that a hit may have been found by: all of its captions, or the passage that was."""
    return captions if hit.caption in captions else [hit.caption]
