"""Exact search: every vector is looked at, by a matrix product."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from sensorium.search.store import KEY, Found

_CHUNK = 1 << 16  # rows a product; bounds the scores that are held at once
_QUERIES = 64


class Vectors(NamedTuple):
    """The vectors of a column, sorted by key: of the rows that have one."""

    ids: np.ndarray
    """Texts [M], as objects."""
    x: Float[np.ndarray, "M D"]


def of_table(table: pa.Table, name: str) -> Vectors:
    """Of rows that are sorted by key."""
    there = table.filter(table[name].is_valid())
    width = table.schema.field(name).type.list_size
    numbers = [np.asarray(chunk.flatten()) for chunk in there[name].chunks] or [np.zeros(0, np.float32)]
    return Vectors(np.array(there[KEY].to_pylist(), object), np.concatenate(numbers).reshape(-1, width))


def nearest(
    vectors: Vectors, queries: Float[np.ndarray, "Q D"], k: int, allowed: Bool[np.ndarray, " M"] | None = None
) -> list[list[Found]]:
    """The `k` rows (that are allowed) with the largest dot products, best first, equal ones by key."""
    ids, x = vectors if allowed is None else (vectors.ids[allowed], vectors.x[allowed])
    out: list[list[Found]] = []
    for first in range(0, len(queries), _QUERIES):
        some = np.ascontiguousarray(queries[first : first + _QUERIES], np.float32)
        scores = np.empty((len(some), len(x)), np.float32)
        for start in range(0, len(x), _CHUNK):
            np.matmul(some, x[start : start + _CHUNK].T, out=scores[:, start : start + _CHUNK])
        for row in scores:
            best = top(row, k)
            out.append([Found(*pair) for pair in zip(ids[best].tolist(), row[best].tolist(), strict=True)])
    return out


def by_pass(tables: Iterable[pa.Table], name: str, queries: Float[np.ndarray, "Q D"], k: int) -> list[list[Found]]:
    """`nearest` over rows that are not held at once, in any order."""
    best: list[list[Found]] = [[] for _ in queries]
    for table in tables:
        found = nearest(of_table(table, name), queries, k)
        best = [sorted(a + b, key=lambda hit: (-hit.score, hit.id))[:k] for a, b in zip(best, found, strict=True)]
    return best


def top(scores: Float[np.ndarray, " M"], k: int) -> Int[np.ndarray, " K"]:
    """The places of the `k` largest scores, best first, equal ones in the order of their places; all where k is larger."""
    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > least)
        chosen = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]


def recall(found: Sequence[Sequence[Found]], exact: Sequence[Sequence[Found]]) -> float:
    """The share of what an exact search gives that was found; 1 where there is nothing to find. What is as near as the last of
    the exact ones counts too: which of equal ones come first is chance."""
    right = sum(
        len([hit for hit in some if hit.score >= all_[-1].score - 1e-6][: len(all_)])
        for some, all_ in zip(found, exact, strict=True)
        if all_
    )
    return right / max(1, sum(map(len, exact))) if any(exact) else 1.0
