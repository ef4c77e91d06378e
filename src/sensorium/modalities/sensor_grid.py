"""Readings at any times onto a grid of equal steps: interpolated in line, averaged where there are too many, with their gaps."""

import numpy as np
from jaxtyping import Bool, Float

_NEAR = 1 + 1e-6


def resampled(
    times: Float[np.ndarray, " N"], values: Float[np.ndarray, "N C"], rate: float, length: int, period: float, gap: float
) -> tuple[Float[np.ndarray, "T C"], Bool[np.ndarray, " T"]]:
    """The readings at 0, 1/rate, 2/rate, … seconds, and which of these moments were measured; 0 where they were not.

    `times` rise, in seconds; `period` is the usual step between two of them. A reading with a NaN is none. Two readings more
    than `gap` periods apart have a gap between them; a moment counts as measured up to half a period beyond a reading.
    Between readings runs a straight line; where the grid is coarser than the readings, each moment is the mean of that line
    over the step around it (as much of the step as is symmetric and within the stretch without a gap), against aliasing.
    """
    kept = ~np.isnan(values).any(1)
    times, values = times[kept], values[kept]
    out, mask = np.zeros((length, values.shape[1])), np.zeros(length, bool)
    if not len(times):
        return out, mask
    grid = np.arange(length) / rate
    breaks = np.flatnonzero(np.diff(times) > gap * period * _NEAR)
    first, last = times[np.r_[0, breaks + 1]], times[np.r_[breaks, len(times) - 1]]  # of each stretch without a gap
    slack = 0.5 * period * _NEAR
    stretch = np.clip(np.searchsorted(first, grid + slack, side="right") - 1, 0, None)
    # Two stretches may both be near: the earlier one has the moment while it reaches it.
    earlier = np.clip(stretch - 1, 0, None)
    stretch = np.where(grid <= last[earlier] + slack, earlier, stretch)
    start, end = first[stretch], last[stretch]
    mask = (grid >= start - slack) & (grid <= end + slack)
    at = np.clip(grid, start, end)
    reach = np.zeros(length) if period * rate * _NEAR >= 1 else np.minimum(0.5 / rate, np.minimum(at - start, end - at))
    area = np.zeros_like(values)
    area[1:] = np.cumsum(0.5 * (values[1:] + values[:-1]) * np.diff(times)[:, None], axis=0)
    line, before = _line(times, values, at), _area(times, values, area, at - reach)
    wide = (reach > 0) & mask
    mean = (_area(times, values, area, at + reach) - before) / np.where(wide, 2 * reach, 1.0)[:, None]
    return np.where(mask[:, None], np.where(wide[:, None], mean, line), 0.0), mask


def _line(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, times, column) for column in values.T], axis=-1)


def _area(times: np.ndarray, values: np.ndarray, area: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The integral of the line from the first reading up to each moment."""
    i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1)
    return area[i] + 0.5 * (values[i] + _line(times, values, at)) * (at - times[i])[:, None]
