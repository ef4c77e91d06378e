"""Convolutions as matrix products: on a CPU, XLA's gradients of small convolutions are several times slower."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float


class Patches(nnx.Module):
    """Cuts a grid into `patch`-sized pieces and projects each to `width`; a remainder at the far edges is an error."""

    def __init__(self, patch: tuple[int, int], channels: int, width: int, *, rngs: nnx.Rngs):
        self.patch = patch
        self.project = nnx.Linear(patch[0] * patch[1] * channels, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B H W C"]) -> Float[jax.Array, "B h w D"]:
        (p, q), (b, h, w, c) = self.patch, x.shape
        if h % p or w % q:
            raise ValueError(f"a grid of {h}×{w} cannot be cut into patches of {p}×{q}")
        x = x.reshape(b, h // p, p, w // q, q, c).transpose(0, 1, 3, 2, 4, 5)
        return self.project(x.reshape(b, h // p, w // q, p * q * c).astype(self.project.kernel.dtype))


class Convolution(nnx.Module):
    """A 3×3 convolution with padding 1 and a stride of 1 or 2: the nine shifted grids side by side, times one matrix."""

    def __init__(self, channels: int, width: int, stride: int = 1, *, rngs: nnx.Rngs):
        self.stride = stride
        self.project = nnx.Linear(9 * channels, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B H W C"]) -> Float[jax.Array, "B h w D"]:
        (_, h, w, _), s = x.shape, self.stride
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [x[:, i : i + h : s, j : j + w : s] for i in range(3) for j in range(3)]
        return self.project(jnp.concatenate(shifted, axis=-1))
