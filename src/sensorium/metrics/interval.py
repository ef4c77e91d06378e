"""How far a measured number may be trusted: bootstrap intervals (Efron 1979)."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float, Int

_CELLS = 1 << 20  # values resampled at a time: bounds the memory, whatever the number of rows


def bootstrap(
    values: Float[np.ndarray, " Q"] | Int[np.ndarray, " Q"] | Bool[np.ndarray, " Q"],
    statistic: Callable[..., np.ndarray] = np.mean,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """(low, high): the percentile interval of a statistic of the rows, over `n` resamples of them with replacement.

    `statistic(samples, axis=-1)` maps `[R Q]` to `[R]`, as `np.mean` and `np.median` do. Rows count as independent. Where all
    rows are equal the interval has no width, which says little when there are few of them. An empty `values` is a `ValueError`.
    """
    if not len(values):
        raise ValueError("a bootstrap interval needs at least one row, got none")
    rng = np.random.Generator(np.random.Philox(seed))
    chunk = max(1, _CELLS // len(values))
    sizes = [min(chunk, n - start) for start in range(0, n, chunk)]
    resampled = [statistic(values[rng.integers(len(values), size=(size, len(values)))], axis=-1) for size in sizes]
    low, high = np.quantile(np.concatenate(resampled), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def measured(
    name: str,
    values: Float[np.ndarray, " Q"] | Int[np.ndarray, " Q"] | Bool[np.ndarray, " Q"],
    statistic: Callable[..., np.ndarray] = np.mean,
) -> dict[str, float]:
    """A statistic of the rows and its `bootstrap` interval, as `name`, `name/low` and `name/high`."""
    low, high = bootstrap(values, statistic)
    return {name: float(statistic(values)), f"{name}/low": low, f"{name}/high": high}


def wilson(right: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """(low, high): the interval of a share (Wilson 1927), which has a width even where all are right. None at all are a
    `ValueError`."""
    if of < 1:
        raise ValueError("the interval of a share needs at least one row, got none")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle, width = (right + z * z / 2) / (of + z * z), z / (of + z * z) * (right * (of - right) / of + z * z / 4) ** 0.5
    return max(0.0, middle - width), min(1.0, middle + width)
