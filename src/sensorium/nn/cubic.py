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
    down, across = (jnp.asarray(_weights(old, _centres(old, new))) for old, new in zip(grid.shape[:2], size, strict=True))
    return jnp.einsum("Hh,Ww,hwd->HWd", down, across, grid.astype(jnp.float32), precision="highest")


def smooth_resize(grid: Float[jax.Array, "h w D"], size: tuple[int, int]) -> Float[jax.Array, "H W D"]:
    """The same with a = −0.5, and blurred where it shrinks: PyTorch's `antialias=True`."""
    return jax.image.resize(grid.astype(jnp.float32), (*size, grid.shape[2]), "cubic", antialias=True, precision=HIGHEST)


def cubic_stretch(x: Float[jax.Array, "B T *rest"], length: int) -> Float[jax.Array, "B N *rest"]:
    """Sequences at another length: the first and the last cell stay where they are (`align_corners=True`)."""
    return jnp.einsum("nt,bt...->bn...", jnp.asarray(_weights(x.shape[1], _corners(x.shape[1], length))), x, precision="highest")


def _centres(old: int, new: int) -> np.ndarray:
    return (np.arange(new) + 0.5) * old / new - 0.5


def _corners(old: int, new: int) -> np.ndarray:
    """In float32, as PyTorch has them: of a thousand cells that moves some by the 10,000th part of one."""
    return (np.float32((old - 1) / max(1, new - 1)) * np.arange(new, dtype=np.float32)).astype(np.float64)


def _weights(old: int, at: np.ndarray) -> np.ndarray:
    """f32[new old]: how much of each old cell is in each new one, which lies `at` a place among the old ones."""
    new, before = len(at), np.floor(at).astype(int)
    out, a = np.zeros((new, old)), SHARPNESS
    for offset in (-1, 0, 1, 2):
        far = np.abs(at - (before + offset))
        near_weight = ((a + 2) * far - (a + 3)) * far * far + 1
        far_weight = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
        np.add.at(out, (np.arange(new), np.clip(before + offset, 0, old - 1)), np.where(far <= 1, near_weight, far_weight))
    return out.astype(np.float32)
