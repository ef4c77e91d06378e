"""The limits of the data: what an observer reaches who knows the generator, and can therefore not be beaten.

Two modalities see copies whose coordinates, pairwise, are normal with correlation ρ = a², each pair independent of the
others. Pictures, sounds, clips and traces give every coordinate away exactly; a text gives the interval in which it lies. So
the evidence that two things belong together, log p(x, y) / p(x)p(y), is a sum over the coordinates that both tell, of
closed form, and ranking by it is optimal (Neyman & Pearson 1933). NumPy and SciPy in float64.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from sensorium.latent.copies import DIMENSIONS
from sensorium.latent.words import LEVELS, Language

Coordinates = Float[np.ndarray, "B 32"]
CLOSEST = 1e-9
"""The least 1 − ρ² that is reckoned with: below it the evidence is beyond what float64 holds."""


@dataclass(frozen=True)
class Bins:
    """The intervals that a sentence can place a coordinate in: after the first round the `LEVELS` levels; after the second,
    all cells between the edges of both grids."""

    language: Language

    @cached_property
    def all_edges(self) -> list[Float[np.ndarray, " edges"]]:
        """For each told coordinate the quantiles between its cells, 0 and 1 included."""
        return [self.edges(place) for place in range(self.language.told)]

    def edges(self, place: int) -> Float[np.ndarray, " edges"]:
        """The quantiles between the cells of the coordinate that the words at `place`, `place` + 32, … tell."""
        rounds = range(min(2, 1 + (self.language.words - 1 - place) // DIMENSIONS))
        return np.unique(np.concatenate([[0, 1], *(np.arange(1, n) / n for n in map(self.language.grid, rounds))]).round(12))

    def cells(self, coordinates: Coordinates) -> Int[np.ndarray, "B told"]:
        """The number of the cell in which each told coordinate lies."""
        quantiles = ndtr(coordinates)
        found = [np.searchsorted(edges, quantiles[:, j], "right") - 1 for j, edges in enumerate(self.all_edges)]
        return np.stack(found, axis=1)

    def chances(self, place: int, mean: np.ndarray, deviation: float) -> Float[np.ndarray, "B cells"]:
        """P(cell) where the coordinate is normal of this mean and deviation."""
        return _between(ndtri(self.all_edges[place]), mean, deviation)

    def said(self, cells: Int[np.ndarray, "B told"]) -> Float[np.ndarray, "B all_cells"]:
        """1 at the cell of each coordinate, the cells of all coordinates side by side."""
        ones = [cells[:, j, None] == np.arange(len(edges) - 1) for j, edges in enumerate(self.all_edges)]
        return np.concatenate(ones, axis=1).astype(np.float64)

    def evidence(self, seen: Coordinates, rho: float) -> Float[np.ndarray, "B all_cells"]:
        """log P(cell | what is seen of it) / P(cell), so that `said(cells) @ evidence(seen).T` sums over the coordinates."""
        deviation = np.sqrt(_rest(rho))
        ratios = [self.chances(j, rho * seen[:, j], deviation) / np.diff(edges) for j, edges in enumerate(self.all_edges)]
        return np.log(np.maximum(np.concatenate(ratios, axis=1), 1e-300))


def evidence(a: Float[np.ndarray, "Q 32"], b: Float[np.ndarray, "G 32"], rho: float) -> Float[np.ndarray, "Q G"]:
    """log p(x, y) / p(x)p(y) of every a with every b, where all coordinates of both are seen."""
    squares = (np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None]) * rho**2
    return (rho * a @ b.T - squares / 2) / _rest(rho) - DIMENSIONS / 2 * np.log(_rest(rho))


def recall(scores: Float[np.ndarray, "N N"], k: int) -> Float[np.ndarray, " N"]:
    """The chance that each query's own (the diagonal) is among its first k; ties are drawn by lot."""
    own = np.diag(scores)[:, None]
    better, equal = (scores > own + 1e-9).sum(1), (np.abs(scores - own) <= 1e-9).sum(1)
    return np.clip((k - better) / equal, 0, 1)


@cache
def ceiling(query: str, target: str, strength: float, language: Language, gallery: int, k: int, queries: int, seed: int) -> float:
    """R@k of the ideal observer: the mean over at least `queries` queries, each among `gallery` candidates (Monte Carlo)."""
    rng, rho, bins = np.random.Generator(np.random.Philox(seed)), strength**2, Bins(language)
    groups = -(-queries // gallery)
    a = rng.standard_normal((groups * gallery, DIMENSIONS))
    b = rho * a + np.sqrt(1 - rho**2) * rng.standard_normal(a.shape)
    texts = "text" in (query, target)
    said, heard = (bins.said(bins.cells(a)), bins.evidence(b, rho)) if texts else (a, b)
    hits = []
    for part in np.split(np.arange(len(a)), groups):
        scores = said[part] @ heard[part].T if texts else evidence(a[part], b[part], rho)
        hits.append(recall(scores if query == "text" else scores.T, k))
    return float(np.mean(hits))


@cache
def token_ceiling(strength: float, language: Language, samples: int, seed: int) -> float:
    """The best accuracy at the next token of a text, given the tokens before it and the other modality's copy.

    Endings and the end are known; the stem is the likeliest of those that the same coordinate's earlier word allows.
    """
    rng, rho, bins = np.random.Generator(np.random.Philox(seed)), strength**2, Bins(language)
    told = rng.standard_normal((samples, DIMENSIONS))
    seen = rho * told + np.sqrt(1 - rho**2) * rng.standard_normal(told.shape)
    right = float(language.length)  # all of them, less what the stems lose
    for place in range(language.told):
        chances = bins.chances(place, rho * seen[:, place], np.sqrt(_rest(rho)))
        middles = (bins.all_edges[place][1:] + bins.all_edges[place][:-1]) / 2
        first = (middles * LEVELS).astype(int)
        levels = np.stack([chances[:, first == level].sum(1) for level in range(LEVELS)], axis=1)
        right -= 1 - levels.max(1).mean()
        if len(middles) > LEVELS:  # told again, on the other grid: at most two of its levels meet the level that is known
            level = (ndtr(told[:, place]) * LEVELS).astype(int)
            within = np.where(first[None] == level[:, None], chances, 0.0)
            second = (middles * (LEVELS - 1)).astype(int)
            finer = np.stack([within[:, second == n].sum(1) for n in range(LEVELS - 1)], axis=1)
            right -= 1 - (finer.max(1) / np.maximum(finer.sum(1), 1e-300)).mean()
    return right / language.length


def posterior(coordinates: Coordinates, told: bool, rho: float, language: Language) -> tuple[Coordinates, Coordinates]:
    """Mean and variance of another modality's coordinates, given those that are seen, or the text that they are told in.

    For a text the interval's own mean and variance are carried over, as if what is left of it were normal.
    """
    if not told:
        return rho * coordinates, np.full(coordinates.shape, 1 - rho**2)
    bins = Bins(language)
    cells = bins.cells(coordinates)
    mean, variance = np.zeros(coordinates.shape), np.ones(coordinates.shape)
    for place in range(language.told):
        edges = ndtri(bins.edges(place))
        low, high, chance = edges[:-1], edges[1:], np.diff(bins.edges(place))
        middle = (_density(low) - _density(high)) / chance
        spread = 1 + (_moment(low) - _moment(high)) / chance - middle**2
        mean[:, place] = middle[cells[:, place]]
        variance[:, place] = spread[cells[:, place]]
    return rho * mean, 1 - rho**2 * (1 - variance)


def _rest(rho: float) -> float:
    return max(1 - rho**2, CLOSEST)


def _between(edges: np.ndarray, mean: np.ndarray, deviation: float) -> np.ndarray:
    """The normal mass between consecutive edges, without loss in the upper tail."""
    low, high = ((part[None] - mean[:, None]) / deviation for part in (edges[:-1], edges[1:]))
    return np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi)


def _moment(x: np.ndarray) -> np.ndarray:
    """x·φ(x), which is 0 at both infinities."""
    return np.where(np.isinf(x), 0.0, x) * _density(x)
