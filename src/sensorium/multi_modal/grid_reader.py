"""From a grid of any size to one vector: patches first, then neighbours joined, until few cells are left."""

import math
from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.decoders.grid import Mix, sizes
from sensorium.nn.sizes import flat, whole

LAID_OUT = 4096
"""About how many numbers the last cells are laid out in, side by side, before one matrix reads them all."""


class GridReader(nnx.Module):
    """Grids f32[B *shape C] of one, two or three axes -> f32[B hidden]: the way of a `GridDecoder`, backwards.

    Patches of the grid become cells, every layer after that joins neighbours until few cells are left, and these are laid side
    by side. All linear, with residual convolutions added. Zeros are appended to a side that is no multiple of its patch.
    """

    def __init__(self, shape: Sequence[int], channels: int, patch: Sequence[int], hidden: int, *, rngs: nnx.Rngs):
        self.shape, self.channels = tuple(shape), channels
        whole("hidden_dim", hidden)
        sides = sizes(self.shape, tuple(patch))[::-1]
        cell = max(32, LAID_OUT // math.prod(sides[-1]))
        widths = [min(64 << i, cell) for i in range(len(sides))]
        joins = [[-(-a // b) for a, b in zip(large, small, strict=True)] for large, small in pairwise(sides)]
        self.shrink = nnx.List(
            [Shrink(a, b, p, rngs=rngs) for (a, b), p in zip(pairwise([channels, *widths]), [list(patch), *joins], strict=True)]
        )
        self.mix = nnx.List([Mix(w, len(self.shape), rngs=rngs) for w in widths])
        self.join = nnx.Linear(math.prod(sides[-1]) * widths[-1], hidden, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B *shape C"]) -> Float[jax.Array, "B P"]:
        for shrink, mix in zip(self.shrink, self.mix, strict=True):
            x = mix(shrink(x))
        return self.join(flat(x))


class Shrink(nnx.Module):
    """A linear map from each patch of cells to one cell; zeros are appended to a side that is no multiple of its patch."""

    def __init__(self, width: int, out: int, patch: Sequence[int], *, rngs: nnx.Rngs):
        self.patch = tuple(patch)
        self.project = nnx.Linear(math.prod(self.patch) * width, out, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B *cells C"]) -> Float[jax.Array, "B *fewer D"]:
        n, width = len(self.patch), x.shape[-1]
        sides = [-(-size // p) for size, p in zip(x.shape[1:-1], self.patch, strict=True)]
        missing = [(0, s * p - size) for s, p, size in zip(sides, self.patch, x.shape[1:-1], strict=True)]
        x = jnp.pad(x, ((0, 0), *missing, (0, 0)))
        x = x.reshape(len(x), *(size for pair in zip(sides, self.patch, strict=True) for size in pair), width)
        x = x.transpose(0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 1 + 2 * n)
        return self.project(x.reshape(len(x), *sides, math.prod(self.patch) * width))
