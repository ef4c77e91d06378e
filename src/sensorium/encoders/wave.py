"""Sound as the wave itself: a learned filterbank that keeps the phase, and a transformer over its frames."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding, Grid
from sensorium.encoders.audio_transformer import step_of
from sensorium.encoders.sequence import Trunk, pieces, sounding
from sensorium.nn.sizes import whole
from sensorium.nn.transformer import Positions


class WaveTransformer(nnx.Module):
    """Waveforms f32[B N] in [-1, 1] at `rate` Hz, and a mask of their samples -> Encoding, a token every 20 ms.

    `width` learned filters look at 40 ms at a time (compare Zeghidour et al. 2021, LEAF). Nothing is rectified or squared:
    a token is linear in the wave, so that x and −x, the same to a power spectrum, stay apart.
    """

    def __init__(
        self,
        samples: int,
        rate: int,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        pooling: str = "attention",
        *,
        rngs: nnx.Rngs,
    ):
        self.samples, self.step = whole("samples", samples), step_of(rate)
        length = -(-samples // self.step)
        self.filters = nnx.Linear(2 * self.step, width, use_bias=False, rngs=rngs)
        self.positions = Positions(length, width, rngs=rngs)
        self.trunk = Trunk(length, width, depth, heads, pooling, rngs=rngs)
        self.pooled_width = self.trunk.pooled_width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"samples": field.samples, "rate": field.rate}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["WaveTransformer", jax.Array]:
        encoder = cls(500, 4000, width=8, depth=1, heads=2, rngs=rngs)
        return encoder, 0.3 * jax.random.normal(rngs.data(), (3, 500))

    def __call__(self, x: Float[jax.Array, "B N"], mask: Bool[jax.Array, "B N"] | None = None) -> Encoding:
        x, heard = sounding(x, mask, self.samples)
        kept = pieces(x[:, :, None], heard, self.step)[1]
        tokens = self.filters(self._windows(x, kept.shape[1]).astype(self.filters.kernel.dtype))
        return self.trunk(tokens + self.positions(tokens.shape[1])[None], kept)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return self.trunk.alone(encoding)

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((-(-self.samples // self.step), self.step),)

    def _windows(self, x: Float[jax.Array, "B N"], length: int) -> Float[jax.Array, "B L W"]:
        """Windows of two steps, one step apart, the middle of each in the middle of its own step."""
        before = self.step // 2
        after = (length + 1) * self.step - before - x.shape[1]
        blocks = jnp.pad(x, ((0, 0), (before, after))).reshape(len(x), length + 1, self.step)
        return jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=-1)
