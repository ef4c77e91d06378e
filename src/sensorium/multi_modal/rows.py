"""Pictures and sounds as a generator takes them: one or a batch in, a batch of floats out, or an error that says why not."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from sensorium.multi_modal.arrays import arrayed, check_range
from sensorium.nn.sizes import whole

Numbers = Num[jax.Array, "..."] | Num[np.ndarray, "..."]
LOUDNESS = 0.3
"""Sounds are mostly far from full scale: over this they are about 1, as pictures are to a network."""


def picture_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(H, W, C), or a `ValueError`."""
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape={tuple(shape)}: expected (height, width, channels), all 1 or more")
    return (whole("height", shape[0]), whole("width", shape[1]), whole("channels", shape[2]))


def picture_rows(pictures: Numbers, shape: tuple[int, int, int]) -> tuple[Float[jax.Array, "B H W C"], bool]:
    """A batch f32 in [0, 1] of one picture or of many of this shape (u8 is divided by 255), and whether it was one."""
    pictures = arrayed("pictures", pictures)
    got = pictures.shape
    if len(got) not in (3, 4) or got[-3:] != shape:
        turned = len(got) in (3, 4) and got[-3:] == (shape[2], shape[0], shape[1])
        axes = (1, 2, 0) if len(got) == 3 else (0, 2, 3, 1)
        hint = f" Channels come last here: give image.transpose{axes}." if turned else ""
        raise ValueError(f"pictures of shape {got}: expected {shape} or (B, {shape[0]}, {shape[1]}, {shape[2]}).{hint}")
    if pictures.dtype == np.uint8:
        rows = jnp.asarray(pictures).astype(jnp.float32) / 255.0
    elif jnp.issubdtype(pictures.dtype, jnp.floating):
        check_range("pictures", pictures, 0.0, 1.0, "; divide by 255, or undo the normalisation")
        rows = jnp.asarray(pictures).astype(jnp.float32)
    else:
        raise ValueError(f"pictures of {pictures.dtype}: expected f32 in [0, 1] or u8")
    return (rows[None], True) if len(got) == 3 else (rows, False)


def sound_rows(sounds: Numbers, samples: int) -> tuple[Float[jax.Array, "B N"], bool]:
    """A batch f32 in [-1, 1] of one sound or of many of so many samples, and whether it was one."""
    sounds = arrayed("sounds", sounds)
    got = sounds.shape
    if len(got) not in (1, 2) or got[-1] != samples:
        raise ValueError(
            f"sounds of shape {got}: expected ({samples},) or (B, {samples}); cut or fill them, or build for {got[-1:]}"
        )
    if not jnp.issubdtype(sounds.dtype, jnp.floating):
        raise ValueError(f"sounds of {sounds.dtype}: expected f32 in [-1, 1]; divide integers by their full scale")
    check_range("sounds", sounds, -1.0, 1.0, "; divide by the full scale")
    rows = jnp.asarray(sounds).astype(jnp.float32)
    return (rows[None], True) if len(got) == 1 else (rows, False)


def frame(samples: int, rate: int) -> int:
    """10 ms in samples."""
    whole("audio_length", samples)
    return whole("sample_rate", rate, 100) // 100
