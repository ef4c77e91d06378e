"""Items that lack a partner, and pairs that do not look as if they belonged together."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sensorium.core.protocols import Item, Raw
from sensorium.doctor.finding import Finding, found

MOST_HAVE = 0.9
"""The share of items that have a kind, from which the lack of it is told: pools of unlike pairs are meant to lack things."""
GALLERY = 1000
"""Others that a pair is compared with."""
FEWEST = 50
WORSE, LEAST = 0.5, 0.05
"""The share of other items that fit better, from which a pair looks mismatched: what a random partner has on average, but less
for a model that is sure of these data: `TIMES` what nine of ten pairs stay below, and not less than `LEAST`."""
TIMES = 5
ABLE = 0.1
"""The same share for the median pair, above which it is the model that cannot tell."""


class Audit(NamedTuple):
    """A model to look at pairs with: the kinds that it knows, and `encode(kind, raws)`, their unit vectors."""

    kinds: tuple[str, ...]
    encode: Callable[[str, list[Raw]], Float[np.ndarray, "N D"]]


def missing(items: Sequence[Item], told: set[tuple[str, str]], where: Callable[[Item], str]) -> list[Finding]:
    """Items that lack what nearly all others have. `told`: the (id, kind) whose lack has its cause told already."""
    counts: dict[str, int] = {}
    for item in items:
        for kind in item.raws:
            counts[kind] = counts.get(kind, 0) + 1
    usual = [kind for kind, n in counts.items() if n >= MOST_HAVE * len(items)]
    out = []
    for item in items:
        lacks = sorted(kind for kind in usual if kind not in item.raws and (item.id, kind) not in told)
        if lacks:
            what = f"{' and '.join(sorted(item.raws))}, but no {' and no '.join(lacks)}"
            out.append(found("missing partner", [where(item)], what))
    return out


def mismatched(items: Sequence[Item], audit: Audit, where: Callable[[Item], str]) -> list[Finding]:
    """The alignment audit: pairs that most other items would fit better, both ways, as a model sees them.

    Each pair of kinds is looked at on its own; where the model cannot tell the pairs of these data, nothing is told.
    """
    out = []
    for a, b in combinations(audit.kinds, 2):
        both = [item for item in items if a in item.raws and b in item.raws]
        if len(both) < FEWEST:
            continue
        one, two = (audit.encode(kind, [item.raws[kind][0] for item in both]) for kind in (a, b))
        worse = better_share(one, two)
        if np.median(worse) > ABLE:
            continue
        limit = min(WORSE, max(LEAST, TIMES * float(np.quantile(worse, 0.9))))
        for row in np.flatnonzero(worse >= limit):
            cosine = float(one[row] @ two[row])
            what = f"{a} and {b} have a cosine of {cosine:.2f}: {100 * worse[row]:.0f} % of other items fit better"
            out.append(found("looks mismatched", [where(both[row])], what, float(worse[row])))
    return out


def better_share(a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
    """For each pair the share of `GALLERY` other rows whose cosine with one side is above its own; the mean of both sides."""
    n = len(a)
    others = np.random.Generator(np.random.Philox(3)).permutation(n)[:GALLERY]
    own = np.einsum("nd,nd->n", a, b)
    out = np.empty(n)
    for start in range(0, n, 1024):
        rows = np.arange(start, min(start + 1024, n))
        real = others[None, :] != rows[:, None]
        higher = (a[rows] @ b[others].T > own[rows, None]).astype(float) + (b[rows] @ a[others].T > own[rows, None])
        out[rows] = (higher * real).sum(1) / (2 * np.maximum(real.sum(1), 1))
    return out
