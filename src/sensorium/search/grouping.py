"""Hits that show nearly the same, told as one: the same picture saved twice, the frames of one scene."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
from jaxtyping import Float

from sensorium.data.near import joined
from sensorium.search.collection import Collection, Hit
from sensorium.search.precision import converted
from sensorium.search.rows import column, key

SIDE = 32
"""Thumbnails are compared at so many pixels a side."""
LOOK = 8.0
"""Levels of 255 by which two thumbnails of the same may differ on average, their mean colours aside, which may by three times as
much."""
CELLS, THERE = 8, 24.0
"""Levels by which any of so many cells a side may differ: a small thing on a plain ground is next to nothing of the average."""
SAME = 0.995
"""The cosine from which things without a picture are nearly the same."""


def grouped(collection: Collection, hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those that are nearly the same as a better one, which tells their ids as `alike`. Pictures (and whatever
    has a thumbnail) are compared by their looks, other things by their vectors of the field that found them."""
    thumbnails = collection.store.get([key(hit.id) for hit in hits], ["thumbnail"])["thumbnail"].to_pylist() if hits else []
    looks = [_look(thumbnail) for thumbnail in thumbnails]
    pairs = _near_looks({i: look for i, look in enumerate(looks) if look is not None})
    rest = [i for i, look in enumerate(looks) if look is None]
    for name in dict.fromkeys(hits[i].field for i in rest):
        pairs += _near_vectors(collection, hits, [i for i in rest if hits[i].field == name], column("vector", name))
    groups = joined(len(hits), pairs)
    best = {min(group): tuple(hits[i].id for i in sorted(group)[1:]) for group in groups}
    others = {i for group in groups for i in group} - set(best)
    return [replace(hit, alike=best.get(i, ())) for i, hit in enumerate(hits) if i not in others]


def _look(thumbnail: bytes | None) -> Float[np.ndarray, "H W 3"] | None:
    if thumbnail is None:
        return None
    from PIL import Image as Pillow

    with Pillow.open(BytesIO(thumbnail)) as picture:
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Pillow.Resampling.BOX), np.float64)


def _near_looks(looks: dict[int, np.ndarray]) -> list[tuple[int, int]]:
    """Hits are few: each is compared with all that follow."""
    pairs, numbers = [], list(looks)
    x = np.stack([looks[i] for i in numbers]) if looks else np.zeros((0, SIDE, SIDE, 3))
    for at, first in enumerate(numbers[:-1]):
        far = x[at + 1 :].mean((1, 2)) - x[at].mean(
            (0, 1)
        )  # another brightness is another exposure, another colour another thing
        apart = np.abs(x[at + 1 :] - x[at] - far[:, None, None]).mean(3)
        cells = apart.reshape(-1, CELLS, SIDE // CELLS, CELLS, SIDE // CELLS).mean((2, 4))
        near = (cells.mean((1, 2)) <= LOOK) & (cells.max((1, 2)) <= THERE) & (np.abs(far).max(1) <= 3 * LOOK)
        pairs += [(first, numbers[at + 1 + other]) for other in np.flatnonzero(near).tolist()]
    return pairs


def _near_vectors(collection: Collection, hits: Sequence[Hit], which: list[int], name: str) -> list[tuple[int, int]]:
    found = converted(collection.store.get([key(hits[i].id) for i in which], [name]), "f32")[name].to_pylist()
    having = [(i, np.asarray(v, np.float32)) for i, v in zip(which, found, strict=True) if v is not None]
    return [(i, j) for n, (i, a) in enumerate(having) for j, b in having[n + 1 :] if float(a @ b) >= SAME]
