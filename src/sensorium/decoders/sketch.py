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
from sensorium.nn.sizes import whole


class Sketched(NamedTuple):
    """A token a cell, and the grid as it is expected: blurred where what is told leaves it open."""

    cells: Float[jax.Array, "B L D"]
    whole: Float[jax.Array, "B *shape C"]


class Sketch(nnx.Module):
    """An `Encoding` -> `Sketched`. Every cell reads its part of the pooled vector (`Places`), and looks at the tokens. What is
    true of the whole (how everything moves) is found in the mean and the greatest numbers of the tokens: it is added to every
    cell, and scales what its patch is made of (Perez et al. 2018), as one motion changes each part of a thing in another way.

    `rank`: each patch is a sum of so many forms over its cells, each in one colour (channels), whichever they are: what a thing
    looks like is then learned once for all colours. Without it a patch is linear in its token. `wide`: forms, or patches, are
    made of so many rectified features of the token, and these are what is scaled: a shape is no sum of a few others.
    """

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
        rank: int | None = None,
        wide: int | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.patch, self.cells = tuple(patch), cells(tuple(shape), tuple(patch))
        self.rank = None if rank is None else whole("rank", rank)
        places = math.prod(self.cells)
        self.place = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (places, width)))
        self.reads = Places(vector, places, width, rngs=rngs)
        features = width if wide is None else whole("wide", wide)
        self.gist = nnx.Linear(2 * tokens, width + features, rngs=rngs)
        self.look = nnx.List([CrossAttention(width, heads, tokens, rngs=rngs) for _ in range(depth)])
        self.layers = nnx.List([Block(width, heads, rngs=rngs) for _ in range(depth)])
        zeros = nnx.initializers.zeros
        out = channels * (self.rank or math.prod(self.patch))
        self.wide = None if wide is None else nnx.Linear(width, features, rngs=rngs)
        self.leave = nnx.Linear(features if self.rank is None else width, out, kernel_init=zeros, rngs=rngs)
        self.forms = None if self.rank is None else nnx.Linear(features, self.rank * math.prod(self.patch), rngs=rngs)

    @property
    def token(self) -> int:
        """Numbers in a cell."""
        return self.place.shape[1]

    def __call__(self, about: Encoding) -> Sketched:
        shift, scale = jnp.split(self.gist(gist_of(about))[:, None], [self.place.shape[1]], axis=-1)
        x = self.place[...][None] + self.reads(about.pooled) + shift
        everywhere = jnp.ones(x.shape[:2], bool)
        for look, layer in zip(self.look, self.layers, strict=True):
            x = layer(x + look(rms_norm(x), about.tokens, about.mask), everywhere)
        x = rms_norm(x)
        scaled = x * (1 + scale) if self.wide is None else jax.nn.gelu(self.wide(x) * (1 + scale))
        if self.forms is None:
            said = self.leave(scaled)
        else:
            forms = self.forms(scaled).reshape(*x.shape[:2], self.rank, -1)
            colours = self.leave(x).reshape(*x.shape[:2], self.rank, -1)
            said = jnp.einsum("blrp,blrc->blpc", forms, colours).reshape(*x.shape[:2], -1)
        return Sketched(x, joined(said, self.cells, self.patch))


def gist_of(about: Encoding) -> Float[jax.Array, "B P"]:
    """The mean and the greatest numbers of the tokens that are there, of unit mean square; zeros where there are none."""
    mask = about.mask[:, :, None]
    tokens = jnp.where(mask, about.tokens, 0.0)
    mean = tokens.sum(axis=1) / jnp.maximum(mask.sum(axis=1), 1).astype(tokens.dtype)
    most = jnp.where(mask, about.tokens, -jnp.inf).max(axis=1)
    return rms_norm(jnp.concatenate([mean, jnp.where(mask.any(axis=1), most, 0.0)], axis=1))
