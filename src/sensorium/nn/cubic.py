"""Bicubic resampling as PyTorch's `interpolate` does it: two ways, of which `jax.image.resize` knows one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

HIGHEST = jax.lax.Precision.HIGHEST
SHARPNESS = -0.75
"""The coefficient a of Keys 1981 ("Cubic convolution interpolation"), which PyTorch and OpenCV take."""


def cubic_resize(grid: Float[jax.Array, "h w D"], size: tuple[int, int]) -> Float[jax.Array, "H W D"]:
    """A grid at another size: centres of cells are aligned, edges are repeated, and nothing is blurred where it shrinks."""
    down, across = (jnp.asarray(_weights(old, new)) for old, new in zip(grid.shape[:2], size, strict=True))
    return jnp.einsum("Hh,Ww,hwd->HWd", down, across, grid.astype(jnp.float32), precision="highest")


def smooth_resize(grid: Float[jax.Array, "h w D"], size: tuple[int, int]) -> Float[jax.Array, "H W D"]:
    """The same with a = −0.5, and blurred where it shrinks: PyTorch's `antialias=True`."""
    return jax.image.resize(grid.astype(jnp.float32), (*size, grid.shape[2]), "cubic", antialias=True, precision=HIGHEST)


def _weights(old: int, new: int) -> np.ndarray:
    """f32[new old]: how much of each old cell is in each new one."""
    at = (np.arange(new) + 0.5) * old / new - 0.5
    before = np.floor(at).astype(int)
    out, a = np.zeros((new, old)), SHARPNESS
    for offset in (-1, 0, 1, 2):
        far = np.abs(at - (before + offset))
        near_weight = ((a + 2) * far - (a + 3)) * far * far + 1
        far_weight = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
        np.add.at(out, (np.arange(new), np.clip(before + offset, 0, old - 1)), np.where(far <= 1, near_weight, far_weight))
    return out.astype(np.float32)
