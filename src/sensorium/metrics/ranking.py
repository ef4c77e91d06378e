"""Where *all* the right answers rank: average precision and nDCG. Ties count against the model, as they do in `ranks`."""

import numpy as np
from jaxtyping import Bool, Float, Int

from sensorium.metrics.retrieval import answerable


def average_precision(scores: Float[np.ndarray, "Q K"], positives: Bool[np.ndarray, "Q K"]) -> Float[np.ndarray, " Q"]:
    """Each query's mean, over its right entries, of the share of right ones among all up to that place; its mean is mAP.

    A query without a right entry, and a score that is NaN, are `Unmeasurable`.
    """
    right = _in_order(scores, positives)
    precision = right.cumsum(1) / np.arange(1, right.shape[1] + 1)
    return (precision * right).sum(1) / right.sum(1)


def ndcg(scores: Float[np.ndarray, "Q K"], positives: Bool[np.ndarray, "Q K"], k: int) -> Float[np.ndarray, " Q"]:
    """Each query's Σ 1 / log₂(1 + place) over its right entries among the first `k`, as a share of the best there could be
    (Järvelin & Kekäläinen 2002, with gains of 0 and 1).

    A query without a right entry, and a score that is NaN, are `Unmeasurable`.
    """
    right = _in_order(scores, positives)
    worth = 1 / np.log2(np.arange(2, right.shape[1] + 2)) * (np.arange(right.shape[1]) < k)
    best = np.cumsum(worth)[right.sum(1) - 1]
    return (right * worth).sum(1) / best


def reciprocal(ranks: Int[np.ndarray, " Q"]) -> Float[np.ndarray, " Q"]:
    """One over each rank; its mean is the mean reciprocal rank, MRR."""
    return 1 / ranks


def _in_order(scores: np.ndarray, positives: np.ndarray) -> Bool[np.ndarray, "Q K"]:
    """The positives by descending score, wrong entries before right ones of equal score."""
    answerable(scores, positives)
    return np.take_along_axis(positives, np.lexsort((positives, -scores)), axis=1)
