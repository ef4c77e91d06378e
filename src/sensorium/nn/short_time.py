"""Short-time spectra of waves, and the waves that such spectra make."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex64, Float

from sensorium.nn.sizes import whole


@dataclass(frozen=True)
class ShortTime:
    """Waves f32[B N] -> spectra c64[B T F] of T = N / `hop` frames, F = `window` / 2 + 1, and back.

    The middle of frame t is the middle of the t-th `hop` samples; there is silence before and after the wave. Frames are weighted
    with a Hann window, which spans `window` / `hop` (2 or more, a whole number) hops. A sine of amplitude A is A/2 in the bin of
    its frequency: what is within [-1, 1] has no magnitude over 1.
    """

    window: int = 512
    hop: int = 128

    def __post_init__(self):
        whole("hop", self.hop)
        if self.window % self.hop or self.window < 2 * self.hop or self.window % 2:
            told = "expected an even window of a whole number of hops, 2 or more"
            raise ValueError(f"frames of {self.window} samples, {self.hop} apart: {told}")

    @property
    def bins(self) -> int:
        """F."""
        return self.window // 2 + 1

    def frames(self, samples: int) -> int:
        """T; a `ValueError` for a wave that is not so many whole hops."""
        if samples < 1 or samples % self.hop:
            raise ValueError(f"a wave of {samples} samples: expected a multiple of {self.hop}, or fill it up with silence")
        return samples // self.hop

    def spectra(self, wave: Float[jax.Array, "B N"]) -> Complex64[jax.Array, "B T F"]:
        frames, more = self.frames(wave.shape[1]), self.window - self.hop
        # Frames are made of whole hops side by side: a gather of samples would be slow.
        hops = jnp.pad(wave, ((0, 0), (more // 2, more - more // 2))).reshape(len(wave), -1, self.hop)
        parts = [hops[:, i : i + frames] for i in range(self.window // self.hop)]
        return jnp.fft.rfft(jnp.concatenate(parts, axis=2) * self._hann[None, None] / self._hann.sum())

    def wave(self, spectra: Complex64[jax.Array, "B T F"]) -> Float[jax.Array, "B N"]:
        """The wave whose spectra are nearest, in the sense of least squares (Griffin & Lim 1984, eq. 6): where there is a wave
        that has these, it."""
        frames = jnp.fft.irfft(spectra, n=self.window) * (self._hann * self._hann.sum())[None, None]
        return self._added(frames) / self._weights(spectra.shape[1])[None]

    def _added(self, frames: Float[jax.Array, "B T W"]) -> Float[jax.Array, "B N"]:
        rows, count, _ = frames.shape
        parts, before = self.window // self.hop, (self.window - self.hop) // 2
        pieces = frames.reshape(rows, count, parts, self.hop)
        laid = [jnp.pad(pieces[:, :, i], ((0, 0), (i, parts - 1 - i), (0, 0))) for i in range(parts)]
        return sum(laid[1:], laid[0]).reshape(rows, -1)[:, before : before + count * self.hop]

    def _weights(self, frames: int) -> Float[jax.Array, " N"]:
        """The sum of the squared windows over each sample; no sample is outside all of them."""
        return self._added(jnp.broadcast_to(jnp.square(jnp.asarray(self._hann))[None, None], (1, frames, self.window)))[0]

    @property
    def _hann(self) -> Float[np.ndarray, " W"]:
        return (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(self.window) + 0.5) / self.window)).astype(np.float32)
