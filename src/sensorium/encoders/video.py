"""Clips: each frame through a picture encoder, then attention over time."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoder, Encoding, Grid
from sensorium.encoders.convnet import ConvNet
from sensorium.encoders.sequence import Trunk, heads_of
from sensorium.nn.frames import time_waves
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import whole

FPS = 25.0
"""Frames a second where nothing says when they stand."""


class VideoTransformer(nnx.Module):
    """Clips u8[B T H W C] (or f32 in [-1, 1]) and a mask of their frames -> Encoding, a token a frame.

    The picture encoder sees every frame alone (compare Arnab et al. 2021, ViViT, model 2); a token is what it pooled plus
    waves of the frame's time, in seconds from the first frame that is there. `frame` is any encoder of one picture in place of
    the convolutional one. Masked frames are never seen.
    """

    def __init__(
        self,
        frames: int,
        size: int | Sequence[int] = 112,
        fps: float = FPS,
        width: int = 128,
        depth: int = 2,
        pooling: str = "attention",
        frame: Encoder | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.frames, self.fps, self.width = whole("frames", frames), fps, width
        self.frame = ConvNet(size, rngs=rngs) if frame is None else frame
        self.project = nnx.Linear(self.frame.pooled_width, width, use_bias=False, rngs=rngs)
        self.time = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.trunk = Trunk(frames, width, depth, heads_of(width), pooling, rngs=rngs)
        self.pooled_width = self.trunk.pooled_width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"frames": field.frames, "size": field.size, "fps": field.fps}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["VideoTransformer", jax.Array]:
        frame = ConvNet(8, widths=(6, 8), rngs=rngs)
        encoder = cls(4, width=8, depth=1, frame=frame, rngs=rngs)
        return encoder, jax.random.uniform(rngs.data(), (3, 4, 8, 8, 3), minval=-1.0)

    def __call__(
        self,
        x: Num[jax.Array, "B T H W C"],
        mask: Bool[jax.Array, "B T"] | None = None,
        times: Float[jax.Array, "B T"] | None = None,
    ) -> Encoding:
        """`times` in seconds; without them, frames stand 1 / `fps` seconds apart."""
        if x.shape[1] != self.frames:
            raise ValueError(f"a clip of {x.shape[1]} frames, where this encoder was built for {self.frames}")
        mask = jnp.ones(x.shape[:2], bool) if mask is None else mask
        if times is None:
            times = jnp.broadcast_to(jnp.arange(self.frames, dtype=jnp.float32) / self.fps, mask.shape)
        x = jnp.where(mask[:, :, None, None, None], x, jnp.zeros((), x.dtype))
        seen = self.project(self.frame(x.reshape(len(x) * self.frames, *x.shape[2:])).pooled).reshape(*mask.shape, self.width)
        waves = time_waves(since_first(times, mask), self.width)
        return self.trunk(rms_norm(seen) + self.time(waves.astype(seen.dtype)), mask)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return self.trunk.alone(encoding)

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((shape[0], 1),)


def since_first(times: Float[jax.Array, "B T"], mask: Bool[jax.Array, "B T"]) -> Float[jax.Array, "B T"]:
    """Times from the earliest unmasked one of each row on; 0 where masked."""
    first = jnp.min(jnp.where(mask, times, jnp.inf), axis=1, keepdims=True)
    return jnp.where(mask, times - jnp.where(jnp.isfinite(first), first, 0.0), 0.0)
