"""Retrieval: where the right answer ranks among all, with the chance line that a number has to be read against.

Several gallery entries may be right for one query (the captions of a picture): a query's rank is that of its best one. Ties
count against the model, so a space that maps everything to one point has the worst rank, not the best.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from sensorium.core.errors import SensoriumError
from sensorium.metrics.interval import bootstrap

_CELLS = 1 << 23  # scores held at a time: 32 MB, whatever the size of the gallery


class Unmeasurable(SensoriumError, ValueError):
    """A metric of these values does not exist: NaN scores, a query without a right answer, nothing to measure."""


def ranks(scores: Float[np.ndarray, "Q K"], positives: Bool[np.ndarray, "Q K"]) -> Int[np.ndarray, " Q"]:
    """1 + the number of wrong entries that score at least as high as the best right one.

    `positives` marks the right entries of each query; a query without one, and a score that is NaN, are `Unmeasurable`.
    """
    answerable(scores, positives)
    best = np.where(positives, scores, -np.inf).max(1)
    return 1 + ((scores >= best[:, None]) & ~positives).sum(1)


def recall(ranks: Int[np.ndarray, " Q"], k: int) -> float:
    """R@k: the share of queries with a right answer among the first `k`."""
    return float((ranks <= k).mean())


def median_rank(ranks: Int[np.ndarray, " Q"]) -> float:
    """The median of the ranks, 1 at best; between two ranks their mean."""
    return float(np.median(ranks))


def chance(positives: Bool[np.ndarray, "Q K"], k: int) -> float:
    """The exact expectation of R@k when the gallery is in random order: the mean over queries of 1 − C(K−p, k) / C(K, k)."""
    right = positives.sum(1)
    _all_answered(right)
    return recall_by_chance(right, positives.shape[1], k)


def recall_by_chance(right: Int[np.ndarray, " Q"], size: int, k: int) -> float:
    """`chance`, by how many right answers each query has in a gallery of `size` entries; it may be none."""
    drawn = np.arange(min(k, size))
    # The probability that each of k draws without replacement is wrong; a factor is 0 where too few wrong ones are left.
    missed = np.prod(np.maximum(size - right[:, None] - drawn, 0) / (size - drawn), axis=1)
    return float(1 - missed.mean())


def retrieval(
    queries: Float[np.ndarray, "Q D"],
    gallery: Float[np.ndarray, "K D"],
    query_groups: Int[np.ndarray, " Q"],
    gallery_groups: Int[np.ndarray, " K"],
    ks: Sequence[int] = (1, 5, 10),
    also: Int[np.ndarray, "P 2"] | None = None,
) -> dict[str, float]:
    """Every number of one direction of retrieval; entries of equal group are right answers for each other, and so
    are the pairs (query, gallery entry) in `also`.

    Gives `recall@k` with `recall@k/low`, `recall@k/high` (95 % bootstrap over queries) and `recall@k/chance`, `median_rank`,
    `queries`, `gallery`, and `excluded`: queries whose group is not in the gallery, which have no right answer and are left
    out. All of them excluded, or NaN in the vectors, is `Unmeasurable`.
    """
    also = _further(also, query_groups, gallery_groups)
    right = _right_answers(query_groups, gallery_groups) + np.bincount(also[:, 0], minlength=len(queries))
    asked = np.flatnonzero(right)
    if not len(asked):
        raise Unmeasurable(f"none of {len(queries)} queries has a right answer among {len(gallery)} gallery entries")
    rows = max(1, _CELLS // len(gallery))
    found = []
    for start in range(0, len(asked), rows):
        block = asked[start : start + rows]
        positives = query_groups[block, None] == gallery_groups
        mine = also[slice(*np.searchsorted(also[:, 0], (block[0], block[-1] + 1)))]
        positives[np.searchsorted(block, mine[:, 0]), mine[:, 1]] = True
        found.append(_block(queries[block], gallery, positives))
    found = np.concatenate(found)
    result = {"median_rank": median_rank(found)}
    for k in ks:
        low, high = bootstrap(found <= k)
        result |= {f"recall@{k}": recall(found, k), f"recall@{k}/low": low, f"recall@{k}/high": high}
        result[f"recall@{k}/chance"] = recall_by_chance(right[asked], len(gallery), k)
    return result | {"queries": len(asked), "gallery": len(gallery), "excluded": len(queries) - len(asked)}


def _further(also: np.ndarray | None, query_groups: np.ndarray, gallery_groups: np.ndarray) -> np.ndarray:
    """The pairs that groups do not make already, each once, by query and gallery entry."""
    if also is None:
        return np.zeros((0, 2), np.int64)
    queries, entries = np.divmod(np.unique(also[:, 0] * len(gallery_groups) + also[:, 1]), len(gallery_groups))
    return np.stack([queries, entries], 1)[query_groups[queries] != gallery_groups[entries]]


def _block(queries: np.ndarray, gallery: np.ndarray, positives: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # NaN and infinity in the vectors are reported by `ranks`, with their place
        return ranks(queries @ gallery.T, positives)


def _right_answers(query_groups: np.ndarray, gallery_groups: np.ndarray) -> np.ndarray:
    """The number of gallery entries of each query's group."""
    known, counts = np.unique(gallery_groups, return_counts=True)
    if not len(known):
        return np.zeros(len(query_groups), np.int64)
    at = np.minimum(np.searchsorted(known, query_groups), len(known) - 1)
    return np.where(known[at] == query_groups, counts[at], 0)


def answerable(scores: Float[np.ndarray, "Q K"], positives: Bool[np.ndarray, "Q K"]) -> None:
    """`Unmeasurable`, with its place, where a score is NaN or a query has no right entry."""
    if np.isnan(scores).any():
        query, entry = np.argwhere(np.isnan(scores))[0]
        raise Unmeasurable(f"the score of query {query} with gallery entry {entry} is NaN: the model's vectors hold NaN")
    _all_answered(positives.sum(1))


def _all_answered(right: np.ndarray) -> None:
    if not right.all():
        lost = np.flatnonzero(right == 0)
        raise Unmeasurable(
            f"{len(lost)} of {len(right)} queries have no right answer in the gallery, the first is query {lost[0]}: "
            "leave them out"
        )
