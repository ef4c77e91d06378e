"""Traces of sensors (acceleration, temperature, …): channels of numbers in time, with gaps."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding, Grid
from sensorium.encoders.sequence import Trunk, heads_of, pieces
from sensorium.nn.sizes import whole
from sensorium.nn.transformer import Positions


class SensorTransformer(nnx.Module):
    """Traces f32[B T C] in units of their own, and a mask of the moments that were measured -> Encoding, a token a patch.

    With `mean` and `std` (one a channel) these are taken out. Without them, each trace is standardised by itself, over the
    moments that were measured (compare Kim et al. 2022, RevIN, eq. 1–2), and what that takes away is told to every token:
    asinh of the mean and the log of the deviation. A gap is zero after that, and each token knows which of its moments are there;
    the numbers that stand in a gap, NaN too, change nothing.
    """

    def __init__(
        self,
        length: int,
        channels: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        patch: int = 8,
        width: int = 64,
        pooling: str = "attention",
        *,
        rngs: nnx.Rngs,
    ):
        self.length, self.channels, self.patch = whole("length", length), whole("channels", channels), whole("patch", patch)
        self.statistics = _checked(mean, std, channels)
        tokens = -(-length // patch)
        self.project = nnx.Linear(patch * (channels + 1), width, rngs=rngs)
        self.level = nnx.Linear(2 * channels, width, use_bias=False, rngs=rngs) if self.statistics is None else None
        self.positions = Positions(tokens, width, rngs=rngs)
        self.trunk = Trunk(tokens, width, 2, heads_of(width, 16), pooling, rngs=rngs)
        self.pooled_width = self.trunk.pooled_width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        length, channels = field.blank()[field.name].shape
        return {"length": length, "channels": channels}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["SensorTransformer", jax.Array]:
        encoder = cls(10, 2, patch=4, width=8, rngs=rngs)
        return encoder, 3.0 + jax.random.normal(rngs.data(), (3, 10, 2))

    def __call__(self, x: Float[jax.Array, "B T C"], mask: Bool[jax.Array, "B T"] | None = None) -> Encoding:
        if x.shape[1:] != (self.length, self.channels):
            raise ValueError(
                f"traces of {x.shape[1]} moments and {x.shape[2]} channels, "
                f"where this encoder was built for {self.channels} channels and moments: {self.length}"
            )
        mask = jnp.ones(x.shape[:2], bool) if mask is None else mask
        x, level = self._standardised(jnp.where(mask[:, :, None], x, 0.0), mask)
        blocks, kept = pieces(jnp.concatenate([x, mask[:, :, None].astype(x.dtype)], axis=-1), mask, self.patch)
        flat = blocks.reshape(*kept.shape, self.patch * (self.channels + 1))
        tokens = self.project(flat.astype(self.project.kernel.dtype)) + self.positions(kept.shape[1])[None]
        if self.level is not None:
            tokens = tokens + self.level(level.astype(tokens.dtype))[:, None]
        return self.trunk(tokens, kept)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return self.trunk.alone(encoding)

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((-(-shape[0] // self.patch), self.patch),)

    def _standardised(
        self, x: Float[jax.Array, "B T C"], mask: Bool[jax.Array, "B T"]
    ) -> tuple[Float[jax.Array, "B T C"], Float[jax.Array, "B E"]]:
        """`x`, which is 0 in gaps, standardised and 0 in gaps again; and the level of each channel, 2·C numbers."""
        if self.statistics is not None:
            given = (jnp.asarray(part, jnp.float32)[None, None] for part in self.statistics)
            mean, std = (jnp.broadcast_to(part, (len(x), 1, self.channels)) for part in given)
            var = jnp.square(std)
        else:
            count = jnp.maximum(jnp.sum(mask, axis=1, dtype=x.dtype), 1.0)[:, None, None]
            mean = jnp.sum(x, axis=1, keepdims=True) / count
            away = jnp.where(mask[:, :, None], x - mean, 0.0)
            var = jnp.sum(away * away, axis=1, keepdims=True) / count + 1e-6  # a flat trace has a finite gradient
        away = jnp.where(mask[:, :, None], (x - mean) * jax.lax.rsqrt(var), 0.0)
        level = jnp.concatenate([jnp.arcsinh(mean), 0.5 * jnp.log(var)], axis=-1)[:, 0]
        return away, level


def _checked(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if mean is None and std is None:
        return None
    if mean is None or std is None or len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise ValueError(f"mean={mean} and std={std}: expected both, each of {channels} numbers, one a channel, and std above 0")
    return tuple(map(float, mean)), tuple(map(float, std))
