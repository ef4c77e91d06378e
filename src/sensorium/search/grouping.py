"""Hits that show nearly the same, told as one: the same picture saved twice, the frames of one scene."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
from jaxtyping import Float

from sensorium.data.near import joined, near_pairs, perceptual_hash
from sensorium.search.collection import Collection, Hit
from sensorium.search.rows import column, key

SIDE = 32
"""Thumbnails are compared at so many pixels a side."""
LOOK = 8.0
"""Levels of 255 by which two thumbnails of the same may differ on average, their mean colours aside, which may by three times as
much."""
SAME = 0.995
"""The cosine from which things without a picture are nearly the same."""


def grouped(collection: Collection, hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those that are nearly the same as a better one, which tells their ids as `alike`. Pictures (and whatever
    has a thumbnail) are compared by their looks, other things by their vectors of the field that found them."""
    looks = [_look(collection.thumbnail(hit.id)) for hit in hits]
    seen = [i for i, look in enumerate(looks) if look is not None]
    hashes = np.array([perceptual_hash(look.mean(2)) for look in looks if look is not None], np.uint64)
    pairs = [(seen[a], seen[b]) for a, b in near_pairs(hashes).tolist()] if len(seen) > 1 else []
    pairs = [(a, b) for a, b in pairs if _near(looks[a], looks[b])]
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


def _near(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    assert a is not None and b is not None
    far = a.mean((0, 1)) - b.mean((0, 1))  # another brightness may be another exposure, another colour is another thing
    return float(np.abs(a - b - far).mean()) <= LOOK and float(np.abs(far).max()) <= 3 * LOOK


def _near_vectors(collection: Collection, hits: Sequence[Hit], which: list[int], name: str) -> list[tuple[int, int]]:
    vectors = collection.store.get([key(hits[i].id) for i in which], [name])[name].to_pylist()
    having = [(i, np.asarray(v, np.float32)) for i, v in zip(which, vectors, strict=True) if v is not None]
    return [(i, j) for n, (i, a) in enumerate(having) for j, b in having[n + 1 :] if float(a @ b) >= SAME]
