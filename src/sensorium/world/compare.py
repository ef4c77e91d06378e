"""Scenes that were read back against those that are there, factor by factor, and what guessing would get.

Objects are matched by their place, which no two objects of a scene share. Every share of a scene is of the objects that are
there or were found: one that is missing and one that is invented are each wrong in every factor.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from sensorium.world.scene import PLACES, Scenes

FACTORS = ("place", "shape", "colour", "texture", "size")
_AT_ONCE = 64  # true scenes that meet all guesses; bounds the memory

Shares = dict[str, Float[np.ndarray, " B"]]


def agreement(found: Scenes, true: Scenes) -> Shares:
    """Of each scene: `exact`, 1 where every object is right and there is none too many; `count`, 1 where their number is right;
    `place`, the places that hold an object in both over those that do in either; `shape`, `colour`, `texture` and `size`: of
    the same places, those that hold an object in both with that factor right; and `attributes`, the mean of these five.

    Where neither has an object all are 1. Two things found at one place (a sentence may say so) are one found and one invented.
    A scene that could not be read is one without objects. Unequal numbers of scenes are a `ValueError`.
    """
    if len(found) != len(true):
        raise ValueError(f"{len(found)} scenes found and {len(true)} true ones: give one for one, in the same order")
    return _shares(*_by_place(found), *_by_place(true))


def chance(true: Scenes, guesses: Scenes) -> dict[str, float]:
    """The means of `agreement` where each true scene is met by each of the guesses: what a guesser gets who draws scenes as
    the guesses were drawn (`scene.draw` of another seed) and knows nothing of the one that is asked for."""
    if not len(true) or not len(guesses):
        raise ValueError(f"{len(true)} true scenes and {len(guesses)} guesses: chance needs at least one of each")
    values, more = _by_place(guesses)
    totals: dict[str, float] = {}
    for start in range(0, len(true), _AT_ONCE):
        part = _by_place(true[start : start + _AT_ONCE])
        shares = _shares(values, more, part[0][:, None], part[1][:, None])
        totals = {name: totals.get(name, 0.0) + float(value.sum(dtype=np.float64)) for name, value in shares.items()}
    return {name: total / (len(true) * len(guesses)) for name, total in totals.items()}


def _by_place(scenes: Scenes) -> tuple[Int[np.ndarray, "B 9 4"], Int[np.ndarray, " B"]]:
    """(shape, colour, texture, size) of the object at each place, −1 for none; and how many more there are than places held."""
    values = np.full((len(scenes), len(PLACES), len(FACTORS) - 1), -1, np.int64)
    row, column = np.nonzero(scenes.present)
    parts = [getattr(scenes, name)[row, column] for name in FACTORS[1:]]
    values[row[::-1], scenes.place[row, column][::-1]] = np.stack(parts, -1)[::-1]  # the first of two at one place counts
    return values, scenes.count - _there(values).sum(-1)


def _there(values: np.ndarray) -> Bool[np.ndarray, "*B 9"]:
    return values[..., 0] >= 0


def _shares(found: np.ndarray, more_found: np.ndarray, true: np.ndarray, more_true: np.ndarray) -> dict[str, np.ndarray]:
    """`agreement`, of arrays of `_by_place` whose first axes go together."""
    here, wanted = _there(found), _there(true)
    union = (here | wanted).sum(-1) + more_found + more_true
    both = (here & wanted)[..., None]
    right = np.concatenate([both, both & (found == true)], -1).sum(-2)  # …, factor
    shares = np.where(union[..., None] > 0, right / np.maximum(union, 1)[..., None], 1.0).astype(np.float32)
    out = dict(zip(FACTORS, np.moveaxis(shares, -1, 0), strict=True))
    return {
        "exact": ((found == true).all((-1, -2)) & (more_found + more_true == 0)).astype(np.float32),
        "count": (here.sum(-1) + more_found == wanted.sum(-1) + more_true).astype(np.float32),
        **out,
        "attributes": shares.mean(-1),
    }
