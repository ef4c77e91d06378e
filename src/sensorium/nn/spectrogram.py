"""Log-mel spectrograms: what an ear keeps of a waveform."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float


def log_mel(
    wave: Float[jax.Array, "B N"], rate: int, window: int = 400, hop: int = 160, bins: int = 64
) -> Float[jax.Array, "B T F"]:
    """log10 of the power in `bins` mel bands, for each of the N // hop frames (Hann window, zero padding at both ends).

    Floored at 1e-7, so that silence is finite; then (x + 2) / 2.5, which takes silence to −2 and usual sounds to about 0 ± 1.
    """
    frames = wave.shape[-1] // hop
    padded = jnp.pad(wave, ((0, 0), (window // 2, window)))
    index = np.arange(frames)[:, None] * hop + np.arange(window)
    spectrum = jnp.fft.rfft(padded[:, index] * _hann(window)[None, None])
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    mel = power @ jnp.asarray(mel_filters(rate, window, bins))
    return (jnp.log10(jnp.maximum(mel, 1e-7)) + 2.0) / 2.5


@cache
def mel_filters(rate: int, window: int, bins: int) -> Float[np.ndarray, "window_half F"]:
    """Triangular filters, equally spaced on the mel scale 2595·log10(1 + f/700) from 40 Hz to rate/2, each of sum 1."""
    mel = np.linspace(2595 * np.log10(1 + 40 / 700), 2595 * np.log10(1 + rate / 1400), bins + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    # A band narrower than the spacing of the frequencies holds none of them: it takes the nearest one.
    empty = filters.sum(0) == 0
    filters[np.abs(frequency - edges[1:-1]).argmin(0)[empty], np.flatnonzero(empty)] = 1
    return (filters / filters.sum(0)).astype(np.float32)


def _hann(window: int) -> Float[np.ndarray, " window"]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
