"""What a generator reads of a clip: as of pictures, with time as a third axis of the grid."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.multi_modal.arrays import arrayed, blanked, flags
from sensorium.multi_modal.grid_reader import GridReader
from sensorium.multi_modal.readers import Mask
from sensorium.multi_modal.rows import Numbers, picture_rows, picture_shape

PATCH = (2, 4, 4)
"""Frames, rows and columns."""


class ClipReader(nnx.Module):
    """Clips f32[B T H W C] in [0, 1] -> f32[B hidden]. The order of the frames counts; those that a mask leaves out do not."""

    def __init__(self, shape: Sequence[int], hidden: int, *, rngs: nnx.Rngs):
        if len(shape) != 4 or min(shape) < 1:
            raise ValueError(f"video_shape={tuple(shape)}: expected (frames, height, width, channels), all 1 or more")
        self.frames, self.frame = shape[0], picture_shape(shape[1:])
        self.grid = GridReader(shape[:3], shape[3], PATCH, hidden, rngs=rngs)

    def __call__(
        self, clips: Float[jax.Array, "B T H W C"], mask: Bool[jax.Array, "B T"] | None = None
    ) -> Float[jax.Array, "B P"]:
        clips = 2.0 * clips - 1.0
        return self.grid(clips if mask is None else blanked(clips, mask))

    def as_rows(self, clips: Numbers, mask: Mask | None = None) -> tuple[jax.Array, jax.Array | None, bool]:
        """A batch f32 in [0, 1] of one clip or of many, the mask of its frames, and whether it was one; or a `ValueError`."""
        got = arrayed("clips", clips).shape
        if len(got) not in (4, 5) or got[-4] != self.frames:
            shape = (self.frames, *self.frame)
            raise ValueError(f"clips of shape {got}: expected {shape} or (B, {', '.join(map(str, shape))}): time, then pictures")
        one, count = len(got) == 4, 1 if len(got) == 4 else got[0]
        if mask is not None:
            mask = flags("the mask of the frames", mask, got[:-3])
            clips, mask = blanked(clips, mask), mask.reshape(count, self.frames)
        frames, _ = picture_rows(clips.reshape(count * self.frames, *got[-3:]), self.frame)
        return jnp.reshape(frames, (count, self.frames, *self.frame)), mask, one
