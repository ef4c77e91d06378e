"""Accuracy on pairs: does a thing lie nearer to what is true of it than to a hard negative? Chance is one half."""

import numpy as np
from jaxtyping import Bool, Float

from sensorium.metrics.retrieval import Unmeasurable


def pairs_right(
    anchor: Float[np.ndarray, "N D"], true: Float[np.ndarray, "N D"], false: Float[np.ndarray, "N D"]
) -> Bool[np.ndarray, " N"]:
    """Rows whose anchor scores the true one strictly higher: a tie is wrong, so a model blind to the difference gets 0.

    The score is the dot product, the cosine where the vectors are of length one. NaN or infinite scores are `Unmeasurable`.
    """
    margin = np.einsum("nd,nd->n", anchor, true) - np.einsum("nd,nd->n", anchor, false)
    if not np.isfinite(margin).all():
        row = int(np.flatnonzero(~np.isfinite(margin))[0])
        raise Unmeasurable(f"the scores of pair {row} are {margin[row]} apart: the vectors hold NaN or infinity")
    return margin > 0


def pair_accuracy(anchor: Float[np.ndarray, "N D"], true: Float[np.ndarray, "N D"], false: Float[np.ndarray, "N D"]) -> float:
    """The share of `pairs_right`; no pairs at all are `Unmeasurable`."""
    if not len(anchor):
        raise Unmeasurable("accuracy on pairs needs at least one pair, got none")
    return float(pairs_right(anchor, true, false).mean())
