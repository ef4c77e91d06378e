"""From a vector to a grid of any size: a sound, a picture, a clip. A few cells first, then doublings, then a patch a cell."""

import math
from collections.abc import Sequence
from itertools import pairwise, product

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.nn.norms import rms_norm

FEWEST = {1: 32, 2: 4, 3: 4}
"""How many cells a side may have where the doublings start, for grids of one, two and three axes."""
NARROWEST = 32
QUIET = 0.01
"""The variance of what adds to a chain of linear maps, at the start: first what is linear is learned, then the rest."""


class GridDecoder(nnx.Module):
    """Vectors f32[B P] -> grids f32[B *shape C] of one, two or three axes; the values are unbounded, the caller squashes them.

    A linear layer gives a grid of at most `FEWEST` cells a side, every layer after it doubles the sides, and the last one turns
    each cell into a patch of the output. So an output of twice the size costs one more small layer, where a dense last layer
    would be as large again. The way from the vector to the output is a chain of linear maps, to which residual convolutions add
    what is not linear (He et al. 2016, eq. 1): gradients reach the first layer whatever the depth. A side that is no multiple
    of its patch is made longer, then cut.
    """

    def __init__(
        self, vector: int, shape: Sequence[int], channels: int, patch: Sequence[int], width: int = 128, *, rngs: nnx.Rngs
    ):
        self.shape, self.patch = tuple(shape), tuple(patch)
        sides = sizes(self.shape, self.patch)
        widths = [max(width >> i, min(width, NARROWEST)) for i in range(len(sides))]
        self.sides, self.width = tuple(sides), width
        self.first = nnx.Linear(vector, math.prod(sides[0]) * width, rngs=rngs)
        steps = zip(pairwise(widths), pairwise(sides), strict=True)
        self.grow = nnx.List([Expand(a, b, _growth(s, t), rngs=rngs) for (a, b), (s, t) in steps])
        self.mix = nnx.List([Mix(w, len(self.shape), rngs=rngs) for w in widths])
        # A loud random output is unlearned first, and that takes the layers before it along to zero.
        self.last = Expand(widths[-1], channels, self.patch, QUIET, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B P"]) -> Float[jax.Array, "B *shape C"]:
        x = self.mix[0](self.first(x).reshape(len(x), *self.sides[0], self.width))
        for grow, mix, sides in zip(self.grow, list(self.mix)[1:], self.sides[1:], strict=True):
            x = mix(_cut(grow(x), sides))
        return _cut(self.last(x), self.shape)


class Expand(nnx.Module):
    """A linear map from each cell to a patch of cells, `times` as many along each axis."""

    def __init__(self, width: int, out: int, times: Sequence[int], variance: float = 1.0, *, rngs: nnx.Rngs):
        self.times, self.out = tuple(times), out
        initial = nnx.initializers.variance_scaling(variance, "fan_in", "truncated_normal")
        self.project = nnx.Linear(width, math.prod(self.times) * out, kernel_init=initial, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B *cells C"]) -> Float[jax.Array, "B *more D"]:
        n, sides = len(self.times), x.shape[1:-1]
        x = self.project(x).reshape(len(x), *sides, *self.times, self.out)
        order = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]  # every axis beside the part of the patch along it
        x = x.transpose(0, *order, 1 + 2 * n)
        return x.reshape(len(x), *(s * t for s, t in zip(sides, self.times, strict=True)), self.out)


class Mix(nnx.Module):
    """A convolution over the nearest cells (3 along each axis) and a linear map, added to the residual stream.

    The convolution is a product with one matrix: on a CPU, XLA's gradients of small convolutions are several times slower.
    """

    def __init__(self, width: int, axes: int, *, rngs: nnx.Rngs):
        self.axes = axes
        self.around = nnx.Linear(3**axes * width, width, rngs=rngs)
        initial = nnx.initializers.variance_scaling(QUIET, "fan_in", "truncated_normal")
        self.down = nnx.Linear(width, width, kernel_init=initial, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B *cells C"]) -> Float[jax.Array, "B *cells C"]:
        sides = x.shape[1:-1]
        padded = jnp.pad(rms_norm(x), ((0, 0), *((1, 1) for _ in sides), (0, 0)))
        shifts = product(range(3), repeat=self.axes)
        near = [padded[(slice(None), *(slice(i, i + n) for i, n in zip(shift, sides, strict=True)))] for shift in shifts]
        return x + self.down(jax.nn.gelu(self.around(jnp.concatenate(near, axis=-1))))


def sizes(shape: tuple[int, ...], patch: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sides of the grids from the first one to that of a patch a cell: each at most twice the one before."""
    if len(shape) != len(patch) or len(shape) not in FEWEST or min(*shape, *patch) < 1:
        raise ValueError(f"an output of {shape} in patches of {patch}: expected as many numbers in both, 1 to 3, all 1 or more")
    sides = [tuple(-(-n // p) for n, p in zip(shape, patch, strict=True))]
    while max(sides[0]) > FEWEST[len(shape)]:
        sides.insert(0, tuple(-(-n // 2) if n > FEWEST[len(shape)] else n for n in sides[0]))
    return sides


def _growth(small: tuple[int, ...], large: tuple[int, ...]) -> list[int]:
    return [1 if a == b else 2 for a, b in zip(small, large, strict=True)]


def _cut(x: jax.Array, sides: tuple[int, ...]) -> jax.Array:
    return x[(slice(None), *(slice(n) for n in sides))]
