"""How far a thing that was made is from the one that was meant: pictures, clips, traces and waves, a value a row.

A mask names the real part of a target and has the target's leading shape: rows `[B]`, frames `[B T]`, samples `[B N]`, or
every element. What stands at masked places has no effect and no gradient, not even where it is NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from sensorium.core.batch import here
from sensorium.core.objective import LossRows
from sensorium.core.table import Table

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(size of the transform, hop, window) in samples: Yamamoto et al. 2020, Parallel WaveGAN, table 1."""
_FLOOR = 1e-7  # of the power: the gradient of a magnitude is infinite at 0, and so is its logarithm
_QUIET = 1e-2  # the RMS of a wave, −40 dB, below which errors are measured against it: silence would divide by nothing


def squared(target: Float[jax.Array, "*X"], prediction: Float[jax.Array, "*X"], mask: Bool[jax.Array, "*P"]) -> LossRows:
    """Each row's mean squared difference over its real elements."""
    return _rows(jnp.square(_difference(target, prediction, mask)), mask)


def absolute(target: Float[jax.Array, "*X"], prediction: Float[jax.Array, "*X"], mask: Bool[jax.Array, "*P"]) -> LossRows:
    """Each row's mean absolute difference over its real elements."""
    return _rows(jnp.abs(_difference(target, prediction, mask)), mask)


def charbonnier(
    target: Float[jax.Array, "*X"], prediction: Float[jax.Array, "*X"], mask: Bool[jax.Array, "*P"], width: float = 1e-3
) -> LossRows:
    """Each row's mean of √(d² + width²) − width: absolute far from 0, square near it (Charbonnier et al. 1994)."""
    difference = _difference(target, prediction, mask)
    return _rows(jnp.sqrt(jnp.square(difference) + width**2) - width, mask)


def spectral(
    target: Float[jax.Array, "B N"],
    prediction: Float[jax.Array, "B N"],
    mask: Bool[jax.Array, "*P"],
    resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS,
) -> LossRows:
    """Multi-resolution STFT loss of waves (Yamamoto et al. 2020, eq. 3 to 6): the mean over `resolutions` of the spectral
    convergence ‖|S| − |Ŝ|‖ / ‖|S|‖ and the mean of |log |S| − log |Ŝ||, a value a row.

    Frames are centred and zero-padded, so that waves of any length have some; powers are floored at 1e-7, and ‖|S|‖ at that of
    noise at −40 dB. It hears no phase: a wave and its negative are equal to it. Masked samples are silence in both.
    """
    real = _over(mask, target.ndim)
    target, prediction = jnp.where(real, target, 0.0), jnp.where(real, prediction, 0.0)
    parts = []
    for size, hop, window in resolutions:
        is_, was = _magnitude(target, size, hop, window), _magnitude(prediction, size, hop, window)
        quiet = _QUIET * math.sqrt(is_[0].size * np.square(_hann(window)).sum())
        convergence = _length(is_ - was) / jnp.maximum(_length(is_), quiet)
        parts.append(convergence + jnp.mean(jnp.abs(jnp.log(is_) - jnp.log(was)), axis=(1, 2)))
    counts = jnp.any(mask.reshape(len(mask), -1), axis=1)
    return LossRows(jnp.where(counts, sum(parts, jnp.zeros(len(mask))) / len(parts), 0.0), counts)


def _magnitude(wave: Float[jax.Array, "B N"], size: int, hop: int, window: int) -> Float[jax.Array, "B T F"]:
    index = np.arange(wave.shape[-1] // hop + 1)[:, None] * hop + np.arange(window)
    padded = jnp.pad(wave, ((0, 0), (window // 2, window)))
    spectrum = jnp.fft.rfft(padded[:, index] * _hann(window)[None, None], n=size)
    return jnp.sqrt(jnp.maximum(jnp.square(spectrum.real) + jnp.square(spectrum.imag), _FLOOR))


def _hann(window: int) -> Float[np.ndarray, " N"]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


def _length(x: Float[jax.Array, "B T F"]) -> Float[jax.Array, " B"]:
    """The Frobenius norm, with a gradient of 0 at 0."""
    whole = jnp.sum(jnp.square(x), axis=(1, 2))
    return whole * jax.lax.rsqrt(jnp.maximum(whole, 1e-12))


def _difference(target: jax.Array, prediction: jax.Array, mask: jax.Array) -> jax.Array:
    real = _over(mask, target.ndim)
    return jnp.where(real, prediction, 0.0) - jnp.where(real, target, 0.0)


def _rows(errors: jax.Array, mask: jax.Array) -> LossRows:
    """The mean of each row's errors, which are 0 where they are masked, over its real elements."""
    real = jnp.broadcast_to(_over(mask, errors.ndim), errors.shape)
    within = tuple(range(1, errors.ndim))
    count = jnp.sum(real, axis=within, dtype=errors.dtype)
    return LossRows(jnp.sum(errors, axis=within) / jnp.maximum(count, 1.0), count > 0)


def _over(mask: jax.Array, rank: int) -> jax.Array:
    """The mask with an axis of 1 for each that it lacks."""
    return mask.reshape(mask.shape + (1,) * (rank - mask.ndim))


MEASURES = Table("measure", {"squared": squared, "absolute": absolute, "charbonnier": charbonnier, "spectral": spectral})


@dataclass(frozen=True)
class Reconstruct:
    """How far the output `"<field>/made"` is from the batch's `field`: pictures, clips, traces or waves, by one of `MEASURES`.

    Pictures u8 are taken as 255ths. What is real is said by `"<field>/mask"` where the batch has it (frames or samples); a row
    counts where the field is there, and every field of `given` (what it is made from).
    """

    field: str
    measure: str = "squared"
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = MEASURES[self.measure]

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        real = jnp.asarray(here(batch, self.field, *self.given))
        if f"{self.field}/mask" in batch:
            mask = jnp.asarray(batch[f"{self.field}/mask"])
            real = mask & _over(real, mask.ndim)
        return MEASURES[self.measure](numbers(batch[self.field]), outputs[f"{self.field}/made"].astype(jnp.float32), real)


def numbers(x: jax.Array) -> Float[jax.Array, "..."]:
    """What a batch holds as float32: u8 as 255ths."""
    x = jnp.asarray(x)
    return x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else x.astype(jnp.float32)
