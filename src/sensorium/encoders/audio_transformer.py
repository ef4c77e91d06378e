"""Sound through a log-mel spectrogram and a transformer over its frames."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding, Grid
from sensorium.encoders.sequence import Trunk, pieces, sounding
from sensorium.nn.sizes import flat, whole
from sensorium.nn.spectrogram import log_mel
from sensorium.nn.transformer import Positions

LOWEST_RATE = 1000


class AudioTransformer(nnx.Module):
    """Waveforms f32[B N] in [-1, 1] at `rate` Hz, and a mask of their samples -> Encoding, a token every 20 ms.

    Two log-mel frames (25 ms long, 10 ms apart) make a token, as after the strided convolution of Radford et al. 2022
    (Whisper, section 2.2). A token none of whose samples are there is masked. The phase of a sound is not heard: see `wave.py`.
    """

    def __init__(
        self,
        samples: int,
        rate: int,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        pooling: str = "attention",
        bins: int = 64,
        *,
        rngs: nnx.Rngs,
    ):
        self.samples, self.rate, self.bins = whole("samples", samples), rate, bins
        self.step = step_of(rate)
        length = -(-samples // self.step)
        self.project = nnx.Linear(2 * bins, width, rngs=rngs)
        self.positions = Positions(length, width, rngs=rngs)
        self.trunk = Trunk(length, width, depth, heads, pooling, rngs=rngs)
        self.pooled_width = self.trunk.pooled_width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"samples": field.samples, "rate": field.rate}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["AudioTransformer", jax.Array]:
        encoder = cls(1000, 8000, width=8, depth=1, heads=2, bins=16, rngs=rngs)
        return encoder, 0.1 * jax.random.normal(rngs.data(), (3, 1000))

    def __call__(self, x: Float[jax.Array, "B N"], mask: Bool[jax.Array, "B N"] | None = None) -> Encoding:
        x, heard = sounding(x, mask, self.samples)
        blocks, kept = pieces(x[:, :, None], heard, self.step)
        filled = flat(blocks)
        mel = log_mel(filled, self.rate, window=self.rate // 40, hop=self.step // 2, bins=self.bins)
        tokens = self.project(mel.reshape(*kept.shape, 2 * self.bins).astype(self.project.kernel.dtype))
        return self.trunk(tokens + self.positions(tokens.shape[1])[None], kept)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return self.trunk.alone(encoding)

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((-(-self.samples // self.step), self.step),)


def step_of(rate: int) -> int:
    """The samples from one token to the next: 20 ms of them, an even number."""
    if rate < LOWEST_RATE:
        raise ValueError(f"a rate of {rate} Hz: expected {LOWEST_RATE} or more (for slower signals there is the sensor encoder)")
    return 2 * (rate // 100)
