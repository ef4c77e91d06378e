"""The log-mel front ends of Whisper and of CLAP, number for number; for a front end of our own see `spectrogram`."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

SCALES = ("slaney", "htk")


@dataclass(frozen=True)
class LogMel:
    """Waves f32[B N] at `rate` Hz -> log-mel spectrograms f32[B T F], T = 1 + N // hop.

    Frames of `window` samples (Hann), `hop` apart, each centred on a sample of the wave, whose ends are reflected; the power of
    each in `bins` triangular bands from `low` to `high` Hz, equally wide on the mel `scale`: "slaney" (bands of equal area) or
    "htk" (bands of height 1); 10·log10 of it, floored at 1e-10, so that silence is finite.

    `whisper` makes of this what Radford et al. 2022, section 2.2 has: log10 without the last frame, no lower than 8 below the
    loudest number of each sound, and (x + 4) / 4. Called with a JAX array it can be compiled and has a gradient; `exact` is the
    same in float64, for bands much more quiet than the loudest of their frame.
    """

    rate: int
    window: int
    hop: int
    bins: int
    low: float
    high: float
    scale: str = "slaney"
    whisper: bool = False

    def __post_init__(self):
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: expected one of {', '.join(SCALES)}")
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise ValueError(f"bands from {self.low} to {self.high} Hz: expected 0 ≤ low < high ≤ {self.rate / 2}")

    def __call__(self, wave: Float[jax.Array, "B N"]) -> Float[jax.Array, "B T F"]:
        return self._of(wave, jnp, wave.dtype)

    def exact(self, wave: Float[np.ndarray, "B N"], which: Int[np.ndarray, " M"] | None = None) -> Float[np.ndarray, "B T F"]:
        """In NumPy and float64; the result is f32. `which`: the numbers of the frames that are wanted, where not all are."""
        return self._of(wave, np, np.float64, which).astype(np.float32)

    def _of(self, wave: Any, xp: Any, dtype: Any, which: np.ndarray | None = None) -> Any:
        half = self.window // 2
        if wave.shape[1] <= half:
            raise ValueError(f"a wave of {wave.shape[1]} samples: expected more than {half}, to reflect its ends")
        padded = xp.pad(wave, ((0, 0), (half, half)), mode="reflect")
        frames = wave.shape[1] // self.hop + (0 if self.whisper else 1)
        index = (np.arange(frames) if which is None else which)[:, None] * self.hop + np.arange(self.window)
        hann = xp.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window), dtype)
        spectrum = xp.fft.rfft(padded[:, index].astype(dtype) * hann[None, None])
        power = xp.square(spectrum.real) + xp.square(spectrum.imag)
        mel = xp.maximum(power @ xp.asarray(filters(self), dtype), 1e-10)
        if not self.whisper:
            return 10 * xp.log10(mel)
        level = xp.log10(mel)
        return (xp.maximum(level, level.max((1, 2), keepdims=True) - 8) + 4) / 4


def whisper(bins: int = 80) -> LogMel:
    """Whisper's: 80 bands, 128 from large-v3 on; its sounds are 30 s at 16 kHz, filled up with silence."""
    return LogMel(16000, 400, 160, bins, 0, 8000, whisper=True)


def clap(fused: bool = False) -> LogMel:
    """CLAP's (Wu et al. 2023): "htk" bands where features are fused, "slaney" ones else; its sounds are 10 s at 48 kHz."""
    return LogMel(48000, 1024, 480, 64, 50, 14000, "htk" if fused else "slaney")


def repeated(wave: Float[np.ndarray, " N"], samples: int) -> Float[np.ndarray, " M"]:
    """`samples` samples: a shorter sound as often as it fits whole, then silence (CLAP's "repeatpad"); a longer one is cut."""
    if not len(wave):
        raise ValueError("a sound of no samples cannot be repeated")
    whole = np.tile(wave[:samples], max(1, samples // len(wave)))
    return np.pad(whole, (0, samples - len(whole)))


@cache
def filters(front: LogMel) -> Float[np.ndarray, "window_half F"]:
    """The triangular bands, in float64."""
    hertz, mel = (_from_slaney, _to_slaney) if front.scale == "slaney" else (_from_htk, _to_htk)
    ends = mel(np.array([front.low, front.high], np.float64))
    edges = hertz(np.linspace(ends[0], ends[1], front.bins + 2))
    frequency = np.linspace(0, front.rate // 2, front.window // 2 + 1)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    return bands * 2 / (edges[2:] - edges[:-2]) if front.scale == "slaney" else bands


LOGARITHMIC = 1000.0
"""Hz from which on Slaney's scale is logarithmic, with 27 mel for each factor of 6.4; below, a mel is 200/3 Hz."""


def _to_slaney(hertz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    high = 15 + 27 / np.log(6.4) * np.log(np.maximum(hertz, LOGARITHMIC) / LOGARITHMIC)
    return np.where(hertz < LOGARITHMIC, 3 * hertz / 200, high)


def _from_slaney(mel: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.where(mel < 15, 200 * mel / 3, LOGARITHMIC * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15)))


def _to_htk(hertz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 2595 * np.log10(1 + hertz / 700)


def _from_htk(mel: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 700 * (10 ** (mel / 2595) - 1)
