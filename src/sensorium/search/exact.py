"""Exact search: every vector is looked at, by a matrix product; of binary ones the bits, and then the best by their products."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from sensorium.search.precision import lengths, numbers, rounded, signs
from sensorium.search.store import KEY, Found

_CHUNK = 1 << 16  # rows a product; bounds the scores that are held at once
_SMALL = 1 << 12  # of int8, which are made f32 for it: few enough to stay near the processor
_QUERIES = 64
_BLOCK = 128  # scores of which the largest is taken first
_LINE = 64  # bytes of a line of the processor's cache, at which vectors begin: one less is read for each of them


class Vectors(NamedTuple):
    """The vectors of a column, in the order of the bytes of the keys: of the rows that have one."""

    ids: np.ndarray
    """Texts [M], as objects."""
    x: np.ndarray
    """f32[M D], i8[M D], or bits u8[M D/8]; f16 becomes f32, as NumPy is slow with it."""
    lengths: np.ndarray | None = None
    """f32[M] of int8."""

    @classmethod
    def of(cls, ids: np.ndarray, x: np.ndarray) -> "Vectors":
        """Of vectors as they are kept (`precision.rounded`)."""
        return cls(ids, x.astype(np.float32) if x.dtype == np.float16 else x, lengths(x) if x.dtype == np.int8 else None)

    def numbers(self) -> Float[np.ndarray, "M D"]:
        return numbers(self.x)


def of_table(table: pa.Table, name: str) -> Vectors:
    """Of rows in any order. Arrow takes and filters lists of numbers slowly, and NumPy does not."""
    column, keys = table[name], table[KEY]
    if column.null_count:
        keys = keys.filter(column.is_valid())
    kind = table.schema.field(name).type
    parts = [np.asarray(chunk.flatten()).reshape(-1, kind.list_size) for chunk in column.chunks]  # without the null ones
    order = np.asarray(pc.call_function("sort_indices", [keys], pc.SortOptions([("", "ascending")])))
    x, places = _aligned(len(order), kind.list_size, np.dtype(kind.value_type.to_pandas_dtype())), np.empty_like(order)
    places[order] = np.arange(len(order), dtype=order.dtype)
    if moved := bool(len(order) and (order[1:] < order[:-1]).any()):
        keys = keys.take(pa.array(order))
    start = 0
    for part in parts:  # each row is written once, to where it belongs
        stop = start + len(part)
        x[places[start:stop] if moved else slice(start, stop)] = part
        start = stop
    return Vectors.of(np.array(keys.to_pylist(), object), x)


def _aligned(rows: int, width: int, dtype: np.dtype) -> np.ndarray:
    """An empty array [rows width] that begins where a line of the cache does."""
    raw = np.empty(rows * width * dtype.itemsize + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : len(raw) - _LINE + start].view(dtype).reshape(rows, width)


def nearest(
    vectors: Vectors, queries: Float[np.ndarray, "Q D"], k: int, allowed: Bool[np.ndarray, " M"] | None = None
) -> list[list[Found]]:
    """The `k` rows (that are allowed) with the largest dot products, best first, equal ones by key."""
    if vectors.x.dtype == np.uint8:
        return _binary(vectors, queries, k, allowed)
    ids = vectors.ids if allowed is None else vectors.ids[allowed]
    few = allowed is not None and len(ids) * 8 < len(allowed)  # else to copy their vectors takes longer than to compare all
    x = vectors.x[allowed] if few else vectors.x
    divided = vectors.lengths[allowed] if few and vectors.lengths is not None else vectors.lengths
    out: list[list[Found]] = []
    for first in range(0, len(queries), _QUERIES):
        some = np.ascontiguousarray(queries[first : first + _QUERIES], np.float32)
        scores = _products(x, some, divided)
        for row in scores if allowed is None or few else scores[:, allowed]:
            best = top(row, k)
            out.append([Found(*pair) for pair in zip(ids[best].tolist(), row[best].tolist(), strict=True)])
    return out


def _products(x: np.ndarray, queries: Float[np.ndarray, "Q D"], divided: np.ndarray | None) -> Float[np.ndarray, "Q M"]:
    if len(queries) == 1 and divided is None:
        return (x @ queries[0])[None]
    scores = np.empty((len(queries), len(x)), np.float32)
    step = _CHUNK if divided is None else _SMALL
    for start in range(0, len(x), step):
        scores[:, start : start + step] = (x[start : start + step].astype(np.float32, copy=False) @ queries.T).T
    return scores if divided is None else scores / divided


def _binary(
    vectors: Vectors, queries: Float[np.ndarray, "Q D"], k: int, allowed: Bool[np.ndarray, " M"] | None
) -> list[list[Found]]:
    word = f"u{math.gcd(vectors.x.shape[1], 8)}"  # as many bits at once as there are
    x, bits = np.ascontiguousarray(vectors.x).view(word), rounded(queries, "binary").view(word)
    there = None if allowed is None else np.flatnonzero(allowed)
    x = x if there is None else x[there]
    out = []
    for query, own in zip(queries, bits, strict=True):
        apart = np.bitwise_count(x ^ own).sum(1, dtype=np.int32)
        near = top(-apart, candidates(k))
        near = np.sort(near if there is None else there[near])
        out.append(_by_products(Vectors(vectors.ids[near], vectors.x[near]), query, k))
    return out


def candidates(k: int) -> int:
    """How many binary vectors, those with the fewest bits other than the query's, are compared by their products."""
    return max(8 * k, 200)


def _by_products(some: Vectors, query: Float[np.ndarray, " D"], k: int) -> list[Found]:
    """The `k` nearest of some binary vectors, by the query's numbers and not only their signs."""
    scores = signs(some.x) @ np.asarray(query, np.float32) / np.float32(math.sqrt(len(query)))
    best = top(scores, k)
    return [Found(*pair) for pair in zip(some.ids[best].tolist(), scores[best].tolist(), strict=True)]


def by_pass(tables: Iterable[pa.Table], name: str, queries: Float[np.ndarray, "Q D"], k: int) -> list[list[Found]]:
    """`nearest` over rows that are not held at once, in any order."""
    best: list[list[Found]] = [[] for _ in queries]
    for table in tables:
        found = nearest(of_table(table, name), queries, k)
        best = [sorted(a + b, key=lambda hit: (-hit.score, hit.id))[:k] for a, b in zip(best, found, strict=True)]
    return best


def among(vectors: Vectors, keys: pa.ChunkedArray) -> Bool[np.ndarray, " M"]:
    """Which of the rows have one of some keys."""
    ids = pa.array(vectors.ids, pa.string())
    return np.asarray(pc.call_function("is_in", [ids], pc.SetLookupOptions(keys.combine_chunks())))


def top(scores: np.ndarray, k: int) -> Int[np.ndarray, " K"]:
    """The places of the `k` largest scores, best first, equal ones in the order of their places; all where k is larger."""
    some = _promising(scores, k)
    values = scores[some]
    if k < len(some):
        least = np.partition(values, len(some) - k)[len(some) - k]
        above = np.flatnonzero(values > least)
        chosen = np.concatenate([above, np.flatnonzero(values == least)[: k - len(above)]])
    else:
        chosen = np.arange(len(some))
    return some[chosen[np.lexsort((chosen, -values[chosen]))]]


def _promising(scores: np.ndarray, k: int) -> Int[np.ndarray, " K"]:
    """The places, in their order, of scores among which the `k` largest are: at least k are no less than the k-th largest of the
    maxima of blocks, so that nothing below it is one of them."""
    if k > (blocks := len(scores) // _BLOCK):
        return np.arange(len(scores))
    most = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(1)
    return np.flatnonzero(scores >= np.partition(most, blocks - k)[blocks - k])


def scored(found: Sequence[Sequence[Found]], exact: Vectors, queries: Float[np.ndarray, "Q D"]) -> list[list[Found]]:
    """What was found with the scores that it has by other, more precise vectors, which have all of these keys."""
    x, places = exact.numbers(), {key: place for place, key in enumerate(exact.ids.tolist())}
    pairs = zip(found, queries, strict=True)
    return [[Found(hit.id, float(x[places[hit.id]] @ query)) for hit in some] for some, query in pairs]


def recall(found: Sequence[Sequence[Found]], exact: Sequence[Sequence[Found]]) -> float:
    """The share of what an exact search gives that was found; 1 where there is nothing to find. What is as near as the last of
    the exact ones counts too: which of equal ones come first is chance."""
    right = sum(
        len([hit for hit in some if hit.score >= all_[-1].score - 1e-6][: len(all_)])
        for some, all_ in zip(found, exact, strict=True)
        if all_
    )
    return right / max(1, sum(map(len, exact))) if any(exact) else 1.0


def beside(x: Float[np.ndarray, "Q D"], seed: int = 0) -> Float[np.ndarray, "Q D"]:
    """Queries to try an index with: a little off the places of vectors that it holds, as those of people are."""
    return (x + np.random.default_rng(seed).normal(0, x.std() / 2, x.shape)).astype(np.float32)
