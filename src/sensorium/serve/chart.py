"""A map of a collection to wander in: its vectors of a field, seen from where they differ the most."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sensorium.search import Collection
from sensorium.search.taking import vectors

MOST = 3000
"""Items on a map; of a larger collection, so many in equal steps."""


@dataclass(frozen=True)
class Chart:
    """Items by their places: `x` and `y` in [-1, 1], the two directions in which the vectors of `field` differ the most (PCA),
    which hold the share `kept` of how they differ; `of`: how many items have the field."""

    field: str
    ids: list[str]
    x: list[float]
    y: list[float]
    kept: float
    of: int


def chart(collection: Collection, field: str = "") -> Chart:
    """The map of a field, by default of the first; an empty one where there is no first. `UnknownName` where the collection has
    no vectors of the one that is asked for."""
    with collection.store.steady():
        field = field or next(iter(collection.fields), "")
        if not field:
            return Chart("", [], [], [], 0.0, 0)
        ids, found = vectors(collection, field, most=MOST)
        of = len(collection)
    places, kept = flat(found)
    x, y = (np.round(places[:, i], 4).tolist() for i in (0, 1))
    return Chart(field, ids, x, y, round(kept, 4), of)


def flat(x: Float[np.ndarray, "N D"]) -> tuple[Float[np.ndarray, "N 2"], float]:
    """The first two principal components, scaled to [-1, 1] by one number, and the share of the variance that they hold.

    Of each the entry of the largest weight is positive, so that equal vectors give an equal map.
    """
    centred = x - x.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1][:, :2]
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0) < 0, -1, 1)
    places = np.zeros((len(x), 2), np.float32)
    places[:, : axes.shape[1]] = centred @ axes
    return places / max(float(np.abs(places).max(initial=0)), 1e-9), float(values[:2].sum() / max(values.sum(), 1e-12))
