"""A transformer over noisy patches: of a sound, a picture, a clip. What it says is as large as what it is given (DiT)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.nn.attention import CrossAttention, geglu, mixed_by
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import check_heads

READING, WAVES, SLOWEST = 16, 32, 100.0
"""Numbers that a place reads of the gist; sines and as many cosines that tell the time, and the highest of their rates."""


class DiT(nnx.Module):
    """Noisy grids f32[B *shape C] of one, two or three axes, times f32[B] in [0, 1] and what they are about -> f32[B *shape C].

    Peebles & Xie (2023): patches as tokens, whose layers are scaled and shifted by time and condition. Here they also look at
    the tokens of the condition (of width `tokens`; None: they do not), and every place reads its pooled vector with a small
    matrix of its own before the first layer: what belongs where is then learned at once, as in `TokenDecoder`. Whatever has to
    be 0 so that an untrained network changes nothing is 0 at the start. A side that is no multiple of its patch is an error.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        patch: Sequence[int],
        vector: int,
        tokens: int | None = None,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        *,
        rngs: nnx.Rngs,
    ):
        self.shape, self.patch, self.channels = tuple(shape), tuple(patch), channels
        self.cells = cells(self.shape, self.patch)
        places, inside = math.prod(self.cells), math.prod(self.patch) * channels
        initial = nnx.initializers.normal(1.0)
        self.enter = nnx.Linear(inside, width, rngs=rngs)
        self.place = nnx.Param(0.5 * initial(rngs.params(), (places, width)))
        self.gist = nnx.Linear(vector, width, rngs=rngs)
        self.read = nnx.Param(initial(rngs.params(), (places, width, READING)) / math.sqrt(width))
        self.spread = nnx.Linear(READING, width, use_bias=False, rngs=rngs)
        self.time = nnx.Linear(2 * WAVES, width, rngs=rngs)
        self.layers = nnx.List([DiTBlock(width, heads, places, tokens, rngs=rngs) for _ in range(depth)])
        self.leave = nnx.Linear(width, inside, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(
        self, x: Float[jax.Array, "B *shape C"], t: Float[jax.Array, " B"], about: Encoding
    ) -> Float[jax.Array, "B *shape C"]:
        if x.shape[1:] != (*self.shape, self.channels):
            raise ValueError(f"grids of {x.shape[1:]}, where this network was built for {(*self.shape, self.channels)}")
        gist = self.gist(about.pooled)
        rates = jnp.exp(jnp.linspace(0.0, math.log(SLOWEST), WAVES))[None]
        waves = t[:, None] * rates
        how = jax.nn.silu(gist + self.time(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=1)))
        said = self.spread(jnp.einsum("bd,ldr->blr", rms_norm(gist), self.read[...]))
        y = self.enter(cut(x, self.patch)) + self.place[...][None] + said
        for layer in self.layers:
            y = layer(y, how, about)
        return joined(self.leave(rms_norm(y)), self.cells, self.patch)


class DiTBlock(nnx.Module):
    """Self-attention with a learned bias for each pair of places, attention to the condition, a gated perceptron; the first and
    the last are scaled and shifted by `how` (adaLN-Zero, Peebles & Xie 2023, sec. 3.2)."""

    def __init__(self, width: int, heads: int, places: int, tokens: int | None, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        zeros = nnx.initializers.zeros
        self.modulate = nnx.Linear(width, 4 * width, kernel_init=zeros, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, kernel_init=zeros, rngs=rngs)
        self.between = nnx.Param(jnp.zeros((heads, places, places)))
        self.look = None if tokens is None else CrossAttention(width, heads, tokens, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], how: Float[jax.Array, "B D"], about: Encoding) -> Float[jax.Array, "B L D"]:
        scale, shift, wide, along = jnp.split(self.modulate(how)[:, None], 4, axis=-1)
        q, k, v = jnp.split(self.qkv(rms_norm(x) * (1 + scale) + shift), 3, axis=-1)
        parts = (y.reshape(*y.shape[:2], self.heads, y.shape[2] // self.heads) for y in (q, k, v))
        x = x + self.out(mixed_by(*parts, mask=None, bias=self.between[...][None]).reshape(x.shape))
        if self.look is not None:
            x = x + self.look(rms_norm(x), about.tokens, about.mask)
        return x + self.down(geglu(self.up(rms_norm(x) * (1 + wide) + along)))


def cells(shape: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """How many patches there are along each axis."""
    if len(shape) != len(patch) or not 1 <= len(shape) <= 3 or min(*shape, *patch) < 1:
        raise ValueError(f"grids of {shape} in patches of {patch}: expected as many numbers in both, 1 to 3, all 1 or more")
    if any(n % p for n, p in zip(shape, patch, strict=True)):
        raise ValueError(f"grids of {shape} in patches of {patch}: expected each side to be a multiple of its patch")
    return tuple(n // p for n, p in zip(shape, patch, strict=True))


def cut(x: Float[jax.Array, "B *shape C"], patch: tuple[int, ...]) -> Float[jax.Array, "B L D"]:
    """The patches of a grid in the order of their places, each laid flat."""
    n = len(patch)
    sides = cells(x.shape[1:-1], patch)
    pairs = (side for pair in zip(sides, patch, strict=True) for side in pair)
    x = x.reshape(len(x), *pairs, x.shape[-1])
    x = x.transpose(0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1)
    return x.reshape(len(x), math.prod(sides), -1)


def joined(x: Float[jax.Array, "B L D"], sides: tuple[int, ...], patch: tuple[int, ...]) -> Float[jax.Array, "B *shape C"]:
    """The grid that patches make: undoes `cut`."""
    n = len(patch)
    x = x.reshape(len(x), *sides, *patch, -1)
    x = x.transpose(0, *(axis for i in range(n) for axis in (1 + i, 1 + n + i)), 2 * n + 1)
    return x.reshape(len(x), *(s * p for s, p in zip(sides, patch, strict=True)), -1)
