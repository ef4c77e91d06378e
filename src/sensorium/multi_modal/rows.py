"""Pictures and sounds as a generator takes them: one or a batch in, a batch of floats out, or an error that says why not."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Num

Numbers = Num[jax.Array, "..."] | Num[np.ndarray, "..."]
LOUDNESS = 0.3
"""Sounds are mostly far from full scale: over this they are about 1, as pictures are to a network."""


def picture_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(H, W, C), or a `ValueError`."""
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape={tuple(shape)}: expected (height, width, channels), all 1 or more")
    return (shape[0], shape[1], shape[2])


def picture_rows(pictures: Numbers, shape: tuple[int, int, int]) -> tuple[Float[jax.Array, "B H W C"], bool]:
    """A batch f32 in [0, 1] of one picture or of many of this shape (u8 is divided by 255), and whether it was one."""
    got = np.shape(pictures)
    if len(got) not in (3, 4) or got[-3:] != shape:
        turned = len(got) in (3, 4) and got[-3:] == (shape[2], shape[0], shape[1])
        axes = (1, 2, 0) if len(got) == 3 else (0, 2, 3, 1)
        hint = f" Channels come last here: give image.transpose{axes}." if turned else ""
        raise ValueError(f"pictures of shape {got}: expected {shape} or (B, {shape[0]}, {shape[1]}, {shape[2]}).{hint}")
    if pictures.dtype == np.uint8:
        rows = jnp.asarray(pictures).astype(jnp.float32) / 255.0
    elif jnp.issubdtype(pictures.dtype, jnp.floating):
        _within("pictures", pictures, 0.0, 1.0)
        rows = jnp.asarray(pictures).astype(jnp.float32)
    else:
        raise ValueError(f"pictures of {pictures.dtype}: expected f32 in [0, 1] or u8")
    return (rows[None], True) if len(got) == 3 else (rows, False)


def sound_rows(sounds: Numbers, samples: int) -> tuple[Float[jax.Array, "B N"], bool]:
    """A batch f32 in [-1, 1] of one sound or of many of so many samples, and whether it was one."""
    got = np.shape(sounds)
    if len(got) not in (1, 2) or got[-1] != samples:
        raise ValueError(
            f"sounds of shape {got}: expected ({samples},) or (B, {samples}); cut or fill them, or build for {got[-1:]}"
        )
    if not jnp.issubdtype(sounds.dtype, jnp.floating):
        raise ValueError(f"sounds of {sounds.dtype}: expected f32 in [-1, 1]; divide integers by their full scale")
    _within("sounds", sounds, -1.0, 1.0)
    rows = jnp.asarray(sounds).astype(jnp.float32)
    return (rows[None], True) if len(got) == 1 else (rows, False)


def frame(samples: int, rate: int) -> int:
    """10 ms in samples."""
    if samples < 1 or rate < 100:
        raise ValueError(f"audio_length={samples}, sample_rate={rate}: expected samples (1 or more) and Hz (100 or more)")
    return rate // 100


def concrete(x: jax.Array | np.ndarray) -> bool:
    """Whether its values can be looked at: not while a function is being compiled or differentiated."""
    return not isinstance(x, Tracer)


def _within(what: str, x: Numbers, low: float, high: float) -> None:
    """A `ValueError` for values far outside their range, where they can be looked at: a missing scaling, not a rounding."""
    if concrete(x) and x.size and (x.min() < low - 0.5 or x.max() > high + 0.5):
        raise ValueError(f"{what} with values from {float(x.min()):.3g} to {float(x.max()):.3g}: expected [{low:g}, {high:g}]")
