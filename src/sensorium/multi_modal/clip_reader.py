"""What a generator reads of a clip: as of pictures, with time as a third axis of the grid."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.multi_modal.grid_reader import GridReader
from sensorium.multi_modal.rows import Numbers, picture_rows, picture_shape

PATCH = (2, 4, 4)
"""Frames, rows and columns."""


class ClipReader(nnx.Module):
    """Clips f32[B T H W C] in [0, 1] -> f32[B hidden]. The order of the frames counts. A clip has no mask."""

    def __init__(self, shape: Sequence[int], hidden: int, *, rngs: nnx.Rngs):
        if len(shape) != 4 or min(shape) < 1:
            raise ValueError(f"video_shape={tuple(shape)}: expected (frames, height, width, channels), all 1 or more")
        self.frames, self.frame = shape[0], picture_shape(shape[1:])
        self.grid = GridReader(shape[:3], shape[3], PATCH, hidden, rngs=rngs)

    def __call__(self, clips: Float[jax.Array, "B T H W C"], mask: None = None) -> Float[jax.Array, "B P"]:
        return self.grid(2.0 * clips - 1.0)

    def as_rows(self, clips: Numbers, mask: None = None) -> tuple[Float[jax.Array, "B T H W C"], None, bool]:
        """A batch f32 in [0, 1] of one clip or of many, and whether it was one; a `ValueError` for what is none."""
        got = np.shape(clips)
        if len(got) not in (4, 5) or got[-4] != self.frames:
            shape = (self.frames, *self.frame)
            raise ValueError(f"clips of shape {got}: expected {shape} or (B, {', '.join(map(str, shape))}): time, then pictures")
        frames, _ = picture_rows(clips.reshape(-1, *got[-3:]), self.frame)
        return jnp.reshape(frames, (-1, self.frames, *self.frame)), None, len(got) == 4
