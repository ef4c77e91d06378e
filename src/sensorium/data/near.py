"""Near-equal things among many: hashes of what is seen or heard, MinHash of what is said, and groups of those alike.

Two kinds of hash propose pairs, as each is blind where the other sees: the bits of a perceptual hash (which survive another
brightness or contrast) flip by chance where a picture is smooth, and the cells of a grid (which hold what is smooth) are left
by whatever changes all of a picture. A hash only proposes pairs; whoever calls decides by a closer look (`alike`), so that a
collision is never told as a copy.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32, UInt64

BLOCKS, DIFFERENT = 7, 4
"""Hashes of at most `DIFFERENT` unlike bits are proposed: of `BLOCKS` blocks of bits at least three are then equal."""
NEIGHBOURS = 8
"""Of many equal keys each is compared with so many that follow it, so that a thousand copies do not make a million pairs."""
SHINGLE = 5
"""Characters that MinHash takes together."""
SAME = 0.9
"""Jaccard similarity of the shingles from which two texts are near-equal: one word of ten changed gives some 0.8."""
_ROWS, _BANDS = 4, 8
TABLES, AXES = 12, 12
Group = tuple[int, ...]
Pairs = Int[np.ndarray, "K 2"]
Alike = Callable[[Pairs], Bool[np.ndarray, " K"]]
"""Which pairs of rows are the same after a closer look; it is asked of `CHUNK` at most at once."""
CHUNK = 4096


def shrink(x: Float[np.ndarray, "H W"], rows: int, columns: int) -> Float[np.ndarray, "rows columns"]:
    """The mean over equal areas."""
    return _areas(x.shape[0], rows) @ x @ _areas(x.shape[1], columns).T


def perceptual_hash(x: Float[np.ndarray, "H W"]) -> int:
    """64 bits: which of the 8×8 lowest frequencies (DCT-II, without the mean) lie above their median (Zauner 2010, pHash)."""
    low = _cosines(x.shape[0]) @ x @ _cosines(x.shape[1]).T
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def groups(hashes: Sequence[int], points: Float[np.ndarray, "N D"], width: float, alike: Alike) -> list[Group]:
    """The rows that are alike, in groups of at least two, sorted: of the pairs of near hashes, and of points that differ by far
    less than `width` in each number, those that are `alike`."""
    pairs = _once([near_pairs(np.array(hashes, np.uint64)), near_points(points, width)])
    kept = [chunk[alike(chunk)] for chunk in np.array_split(pairs, range(CHUNK, len(pairs), CHUNK))]
    return joined(len(hashes), ((a, b) for chunk in kept for a, b in chunk.tolist()))


def near_pairs(hashes: UInt64[np.ndarray, " N"]) -> Int[np.ndarray, "K 2"]:
    """The pairs of rows whose hashes differ in at most `DIFFERENT` bits (all of them, but for `NEIGHBOURS`).

    For each choice of three of seven blocks of bits the rows are sorted by these: O(35 N log N), a second for 10^5 rows.
    """
    found: list[np.ndarray] = []
    edges = np.linspace(0, 64, BLOCKS + 1).astype(int)
    blocks = [((1 << (b - a)) - 1) << a for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    for kept in combinations(blocks, BLOCKS - DIFFERENT):
        keys = hashes & np.uint64(sum(kept))
        pairs = _of_equal_keys(keys, np.lexsort((hashes, keys)))
        near = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= DIFFERENT
        found.append(pairs[near])
    return _once(found)


def near_points(points: Float[np.ndarray, "N D"], width: float) -> Int[np.ndarray, "K 2"]:
    """Pairs of rows that fall into one cell in some of `TABLES` grids, of cells of `width` in `AXES` of the numbers each
    (locality-sensitive hashing, Datar et al. 2004): nearly surely those that differ by a twentieth of it everywhere."""
    rng = np.random.Generator(np.random.Philox(5))
    found: list[np.ndarray] = []
    for _ in range(TABLES):
        axes = rng.choice(points.shape[1], min(AXES, points.shape[1]), replace=False)
        cells = np.floor((points[:, axes] + rng.uniform(0, width, len(axes))) / width).astype(np.int64)
        keys = (cells * rng.integers(1, 2**62, len(axes))).sum(1)  # it wraps: unlike cells may share a key, once in 2^64
        found.append(_of_equal_keys(keys, np.lexsort((points.sum(1), keys))))
    return _once(found)


def _of_equal_keys(keys: np.ndarray, order: Int[np.ndarray, " N"]) -> Int[np.ndarray, "K 2"]:
    """Each row with those of its key among the `NEIGHBOURS` that follow it in the order."""
    found = [np.zeros((0, 2), np.int64)]
    for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
        a, b = order[:-step], order[step:]
        same = keys[a] == keys[b]
        found.append(np.stack([a[same], b[same]], 1))
    return np.concatenate(found)


def _once(found: list[np.ndarray]) -> Int[np.ndarray, "K 2"]:
    """All pairs, the lower row first, each once, sorted."""
    pairs = np.sort(np.concatenate(found), axis=1)
    codes = np.unique(pairs[:, 0] << 32 | pairs[:, 1])  # of one number each: ten times as fast as rows
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], 1)


def near_texts(texts: Sequence[str]) -> list[Group]:
    """The texts whose sets of five characters in a row are nearly the same (Jaccard of at least `SAME`; Broder 1997)."""
    shingles = [_shingles(text) for text in texts]
    buckets: dict[tuple[int, bytes], list[int]] = {}
    pairs: set[tuple[int, int]] = set()
    for row, shingle in enumerate(shingles):
        signature = _signature(shingle)
        for band in range(_BANDS):
            members = buckets.setdefault((band, signature[band * _ROWS : (band + 1) * _ROWS].tobytes()), [])
            pairs |= {(other, row) for other in members[-NEIGHBOURS:]}
            members.append(row)
    return joined(len(texts), (pair for pair in sorted(pairs) if _jaccard(shingles[pair[0]], shingles[pair[1]]) >= SAME))


def joined(n: int, pairs: Iterable[tuple[int, int]]) -> list[Group]:
    """Rows that pairs connect, directly or through others."""
    parent = list(range(n))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    members: dict[int, list[int]] = {}
    for row in range(n):
        members.setdefault(root(row), []).append(row)
    return [tuple(rows) for rows in members.values() if len(rows) > 1]


@cache
def _areas(n: int, parts: int) -> Float[np.ndarray, "parts n"]:
    edges = np.linspace(0, n, parts + 1)
    cells = np.arange(n)
    share = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    share = np.clip(share, 0, None)
    return share / share.sum(1, keepdims=True)


@cache
def _cosines(n: int) -> Float[np.ndarray, "8 n"]:
    """Rows 1 to 8 of the DCT-II."""
    return np.cos(np.pi / n * (np.arange(n) + 0.5) * np.arange(1, 9)[:, None])


def _shingles(text: str) -> UInt32[np.ndarray, " N"]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    n = max(1, len(codes) - SHINGLE + 1)
    mixed = np.zeros(n, np.uint32)
    for at in range(min(SHINGLE, len(codes))):
        mixed = mixed * np.uint32(0x01000193) + codes[at : at + n]  # FNV's prime; it wraps, as it should
    return np.unique(mixed)


def _signature(shingles: UInt32[np.ndarray, " N"]) -> UInt32[np.ndarray, " 32"]:
    factors, offsets = _lines()
    return (shingles[:, None] * factors + offsets).min(0)


@cache
def _lines() -> tuple[UInt32[np.ndarray, " 32"], UInt32[np.ndarray, " 32"]]:
    rng = np.random.Generator(np.random.Philox(11))
    n = _ROWS * _BANDS
    return rng.integers(0, 2**32, n, np.uint32) | np.uint32(1), rng.integers(0, 2**32, n, np.uint32)


def _jaccard(a: UInt32[np.ndarray, " N"], b: UInt32[np.ndarray, " M"]) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)
