"""Arithmetic on what is told: several things of one field that stand for one, each with its weight."""

import math
from collections.abc import Iterator, Sequence

from sensorium.core.protocols import Raw
from sensorium.modalities import BadRaw

LEAST = 1e-3
"""A sum of vectors of length 1 that is shorter has no direction worth the name."""


class Mix:
    """One thing made of several of a field, in whose place it stands: `Mix((photo, 1), (other, -1))`. Their unit vectors
    in a space are added up, each times its weight; below 0 it is taken away."""

    def __init__(self, *parts: tuple[Raw, ...]):
        if not parts or not all(isinstance(part, tuple) and len(part) == 2 for part in parts):
            raise BadRaw(f"Mix: {len(parts)} parts: expected pairs of a thing and its weight, one or more")
        self.parts = tuple((thing, _weight(weight)) for thing, weight in parts)
        if not any(weight for _, weight in self.parts):
            raise BadRaw("Mix: every weight is 0, and nothing is left")

    def __repr__(self) -> str:
        return f"Mix({', '.join(map(repr, self.parts))})"


def between(first: Raw, last: Raw, steps: int) -> list[Mix]:
    """From one thing to another of the same field, in `steps` of equal weights, both ends with them."""
    if steps < 2:
        raise BadRaw(f"between, steps={steps}: expected 2 or more, as both ends are among them")
    shares = [i / (steps - 1) for i in range(steps)]
    return [Mix((first, 1 - share), (last, share)) for share in shares]


def parts_of(things: Sequence[Raw | Mix]) -> Iterator[tuple[int, Raw, float]]:
    """(row, thing, weight) of all that things are made of; a thing that is no `Mix` counts once."""
    for row, thing in enumerate(things):
        for part, weight in thing.parts if isinstance(thing, Mix) else ((thing, 1.0),):
            yield row, part, weight


def _weight(weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise BadRaw(f"Mix: a weight of {weight!r}: expected a finite number")
    return float(weight)
