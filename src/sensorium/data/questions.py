"""Questions about the built-in world as a source of batches: things of a scene, several questions about it, their answers."""

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from sensorium.core.batch import Batch, stack
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Modality, Taken
from sensorium.data.synthetic import RENDERERS
from sensorium.modalities import Text
from sensorium.world import question, scene
from sensorium.world.caption import LISTS
from sensorium.world.question import TYPES, Question
from sensorium.world.scene import COLOURS, SHAPES, Scenes

VARIANTS = 4
"""A scene is asked so often, each time of other things and in other words; the questions of a row are drawn from all of them."""
NAMED = frozenset((*COLOURS, *SHAPES))
"""The words that things are called by."""


class Questions:
    """Endless scenes of a split, with `each` unlike questions about every one and their answers: a `Source` of `items` rows.

    `fields`: what of a scene is shown (none: nobody sees it); `asked` and `answered` are texts, i32[B each L] with their masks,
    so that what is shown once serves several questions. Where a scene has fewer questions, the last ones are blank: masked.
    `shares[type]` says how likely questions of a type are drawn, beside each other; one that it lacks is never asked. The first
    `easy` rows are only asked what does not take a thing's name to understand: how many there are, how all of them move, and of
    what colour and shape the thing in some place is.
    """

    def __init__(
        self,
        fields: Sequence[Modality],
        asked: Text,
        answered: Text,
        shares: Mapping[str, float],
        each: int = 4,
        split: str = "train",
        items: int = 1_000_000,
        seed: int = 0,
        easy: int = 0,
    ):
        for field in fields:
            if field.kind not in RENDERERS:
                raise UnknownName(f"the world has no {field.kind!r} to show.{nearest(field.kind, RENDERERS)}")
        for type in shares:
            if type not in TYPES:
                raise UnknownName(f"the world has no questions of type {type!r}.{nearest(type, TYPES)}")
        if each < 1 or not shares or min(shares.values()) <= 0:
            raise ValueError(f"each={each}, shares={dict(shares)}: expected 1 or more of each, and shares above 0")
        self.fields, self.asked, self.answered = tuple(fields), asked, answered
        self.shares, self.each = dict(shares), each
        self.split, self.items, self.seed, self.easy = split, items, seed, easy

    def __len__(self) -> int:
        return self.items

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        """Rows as a batch. A row is asked one thing only, whatever `draw` is: the world has as many rows as one wants."""
        rows = np.asarray(rows)
        scenes = scene.draw(self.split, rows, self.seed)
        batch: Batch = {"group": (scenes.id % (2**31 - 1)).astype(np.int32)}
        batch |= rendered(self.fields, scenes)
        drawn = chosen(scenes, self.each, self.shares, rows < self.easy)
        for field, texts in (
            (self.asked, [[one.question for one in row] for row in drawn]),
            (self.answered, [[one.answer for one in row] for row in drawn]),
        ):
            batch |= _texts(field, texts, self.each)
        return batch | {f"{field.name}/here": np.ones(len(scenes), bool) for field in self._all()}

    def take(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken:
        """The batch, and how many things it holds; what is drawn here can always be read."""
        batch = self.read(rows, draw)
        return Taken(batch, len(batch["group"]) * len(self._all()), ())

    def fingerprint(self) -> str:
        """Who the source is: equal ones read equal batches."""
        what = repr((self._all(), self.shares, self.each, self.split, self.items, self.seed, self.easy))
        return hashlib.sha256(what.encode()).hexdigest()[:32]

    def _all(self) -> tuple[Modality, ...]:
        return (*self.fields, self.asked, self.answered)


def rendered(fields: Sequence[Modality], scenes: Scenes) -> Batch:
    """What of scenes some fields make."""
    batch: Batch = {}
    for field in fields:
        batch |= stack([field.prepare(raw) for raw in RENDERERS[field.kind](scenes, LISTS)])
    return batch


def chosen(
    scenes: Scenes, each: int, shares: Mapping[str, float], easy: Bool[np.ndarray, " B"] | None = None
) -> list[list[Question]]:
    """At most `each` questions about each scene, no two in the same words; of a type as often as its share says. Where `easy`,
    none that calls a thing by its name.

    They are the first by −log(u) / share, which draws without putting back (Efraimidis and Spirakis 2006, algorithm A).
    """
    pools: list[dict[str, tuple[float, Question]]] = [{} for _ in range(len(scenes))]
    for variant in range(VARIANTS):
        u = _draws(scenes, variant)
        for one in question.ask(scenes, variant):
            if one.type in shares and (easy is None or not easy[one.row] or NAMED.isdisjoint(one.question.split())):
                late = -math.log1p(-u[one.row, list(TYPES).index(one.type)]) / shares[one.type]
                held = pools[one.row].get(one.question)
                if held is None or late < held[0]:
                    pools[one.row][one.question] = late, one
    return [[one for _, one in sorted(pool.values(), key=lambda pair: pair[0])[:each]] for pool in pools]


def even(split: str, n: int, types: Sequence[str], seed: int = 0) -> tuple[Scenes, list[Question]]:
    """The first `n` questions of each type that are asked about the scenes of a split, at most one of each type about a scene,
    and the scenes; `row` of a question is that among them."""
    kept: dict[str, list[Question]] = {type: [] for type in types}
    start, step = 0, 512
    while any(len(found) < n for found in kept.values()):
        for one in question.ask(scene.draw(split, np.arange(start, start + step), seed)):
            if one.type in kept and len(kept[one.type]) < n:
                kept[one.type].append(one._replace(row=start + one.row))
        start += step
    every = [one for found in kept.values() for one in found]
    rows = np.unique([one.row for one in every])
    at = {int(row): i for i, row in enumerate(rows)}
    return scene.draw(split, rows, seed), [one._replace(row=at[one.row]) for one in every]


def _draws(scenes: Scenes, variant: int) -> Float[np.ndarray, "B types"]:
    return scene.uniform(scenes.key, f"which{variant}", len(TYPES))


def _texts(field: Text, texts: Sequence[Sequence[str]], each: int) -> Batch:
    """The texts of each row side by side, filled up with blanks."""
    blank = field.blank()
    rows = len(texts)
    out = {key: np.broadcast_to(x, (rows, each, *x.shape)).copy() for key, x in blank.items()}
    ready = field.prepare_batch([text for row in texts for text in row])
    at = np.array([(i, k) for i, row in enumerate(texts) for k in range(len(row))], np.int64).reshape(-1, 2)
    for key, x in ready.items():
        out[key][at[:, 0], at[:, 1]] = x
    return out
