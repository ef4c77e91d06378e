"""Where *all* the right answers rank: average precision and nDCG. Ties count against the model, as they do in `ranks`; what has a
score of −∞ was not found, and counts nowhere.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from sensorium.metrics.retrieval import Unmeasurable, answerable


def average_precision(scores: Float[np.ndarray, "Q K"], positives: Bool[np.ndarray, "Q K"]) -> Float[np.ndarray, " Q"]:
    """Each query's mean, over its right entries, of the share of right ones among all up to that place; its mean is mAP.

    A query without a right entry, and a score that is NaN, are `Unmeasurable`.
    """
    right = _in_order(scores, positives)
    precision = right.cumsum(1) / np.arange(1, right.shape[1] + 1)
    return (precision * right).sum(1) / positives.sum(1)


def ndcg(
    scores: Float[np.ndarray, "Q K"],
    grades: Bool[np.ndarray, "Q K"] | Int[np.ndarray, "Q K"] | Float[np.ndarray, "Q K"],
    k: int,
) -> Float[np.ndarray, " Q"]:
    """Each query's Σ grade / log₂(1 + place) over the first `k`, as a share of the best there could be (Järvelin & Kekäläinen
    2002, with the grades themselves as gains, as trec_eval and scikit-learn have them). A wrong entry has a grade of 0.

    A query without a grade above 0, one below 0, and a score that is NaN, are `Unmeasurable`.
    """
    if (grades < 0).any():
        raise Unmeasurable(f"a grade of {grades.min()}: a wrong entry has a grade of 0, the others have more")
    worth = _worth(grades.shape[1], k)
    return (_in_order(scores, grades) * worth).sum(1) / (-np.sort(-grades.astype(float)) * worth).sum(1)


def average_precision_by_chance(found: Int[np.ndarray, " Q"], right: Int[np.ndarray, " Q"], size: int) -> Float[np.ndarray, " Q"]:
    """The exact expectation of average precision where a gallery of `size` entries is in random order and `found` of the `right`
    ones are in it."""
    each = (1 / np.arange(1, size + 1)).sum()  # over the places, of the first right entry's precision there
    others = np.maximum(found - 1, 0) / max(1, size - 1)  # the chance that any other place before it is right
    return found / right * (each + others * (size - each)) / size


def ndcg_by_chance(
    found: Float[np.ndarray, " Q"], grades: Float[np.ndarray, "Q K"], size: int, k: int
) -> Float[np.ndarray, " Q"]:
    """The exact expectation of nDCG@k where a gallery of `size` entries is in random order; `found`: the sum of the grades of
    those that are in it, `grades`: all of them, filled up with 0."""
    best = (-np.sort(-grades) * _worth(grades.shape[1], k)).sum(1)
    return found / size * _worth(size, k).sum() / best


def reciprocal(ranks: Int[np.ndarray, " Q"]) -> Float[np.ndarray, " Q"]:
    """One over each rank; its mean is the mean reciprocal rank, MRR."""
    return 1 / ranks


def _worth(places: int, k: int) -> Float[np.ndarray, " K"]:
    return 1 / np.log2(np.arange(2, places + 2)) * (np.arange(places) < k)


def _in_order(scores: np.ndarray, grades: np.ndarray) -> np.ndarray:
    """The grades by descending score, lower ones first among equal scores, and 0 for what was not found."""
    answerable(scores, grades > 0)
    found = np.where(scores > -np.inf, grades, np.zeros((), grades.dtype))
    return np.take_along_axis(found, np.lexsort((grades, -scores)), axis=1)
