"""What should be where, by what is told alone: learned at once, as no noise hides it, and then refined out of noise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.decoders.patches import cells, joined
from sensorium.decoders.places import Places
from sensorium.nn.attention import Block, CrossAttention
from sensorium.nn.norms import rms_norm


class Sketched(NamedTuple):
    """A token a cell, and the grid as it is expected: blurred where what is told leaves it open."""

    cells: Float[jax.Array, "B L D"]
    whole: Float[jax.Array, "B *shape C"]


class Sketch(nnx.Module):
    """An `Encoding` -> `Sketched`. Every cell reads its part of the pooled vector (`Places`), and looks at the tokens."""

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        patch: Sequence[int],
        vector: int,
        tokens: int,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        *,
        rngs: nnx.Rngs,
    ):
        self.patch, self.cells = tuple(patch), cells(tuple(shape), tuple(patch))
        places = math.prod(self.cells)
        self.place = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (places, width)))
        self.reads = Places(vector, places, width, rngs=rngs)
        self.look = nnx.List([CrossAttention(width, heads, tokens, rngs=rngs) for _ in range(depth)])
        self.layers = nnx.List([Block(width, heads, rngs=rngs) for _ in range(depth)])
        zeros = nnx.initializers.zeros
        self.leave = nnx.Linear(width, math.prod(self.patch) * channels, kernel_init=zeros, rngs=rngs)

    def __call__(self, about: Encoding) -> Sketched:
        x = self.place[...][None] + self.reads(about.pooled)
        everywhere = jnp.ones(x.shape[:2], bool)
        for look, layer in zip(self.look, self.layers, strict=True):
            x = layer(x + look(rms_norm(x), about.tokens, about.mask), everywhere)
        x = rms_norm(x)
        return Sketched(x, joined(self.leave(x), self.cells, self.patch))
