"""What a U-Net is made of: residual blocks that time and condition modulate, attention over a grid, halving and doubling."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.nn.attention import mixed_by
from sensorium.nn.sizes import check_heads, whole
from sensorium.nn.standard import LayerNorm

ZEROS = nnx.initializers.zeros


class GroupNorm(nnx.Module):
    """Wu & He 2018: each row's channels in `groups`, each of them at mean 0 and variance 1, then a learned scale and bias.

    What reaches the grid is one multiplication and one addition a channel: statistics are taken channel by channel first.
    """

    def __init__(self, width: int, groups: int, eps: float = 1e-5):
        if whole("width", width) % whole("groups", groups):
            raise ValueError(f"width {width} cannot be split into {groups} groups: take a number of groups that divides it")
        self.groups, self.eps = groups, eps
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[jax.Array, "B *cells C"]) -> Float[jax.Array, "B *cells C"]:
        within = tuple(range(1, x.ndim - 1))
        y = x.astype(jnp.float32)
        y = y - self._shared(jnp.mean(y, axis=within, keepdims=True))
        steep = jax.lax.rsqrt(self._shared(jnp.mean(y * y, axis=within, keepdims=True)) + self.eps)
        scale, bias = (p[...].astype(jnp.float32).reshape((1,) * (x.ndim - 1) + (-1,)) for p in (self.scale, self.bias))
        return (y * (steep * scale) + bias).astype(x.dtype)

    def _shared(self, x: Float[jax.Array, "B *ones C"]) -> Float[jax.Array, "B *ones C"]:
        """The mean of each group, for each of its channels."""
        groups = x.reshape(len(x), self.groups, -1)
        return jnp.broadcast_to(jnp.mean(groups, axis=2, keepdims=True), groups.shape).reshape(x.shape)


def convolution(before: int, width: int, axes: int, stride: int = 1, *, quiet: bool = False, rngs: nnx.Rngs) -> nnx.Conv:
    """Over 3 cells along each axis, with padding 1. `quiet`: it is 0 at the start.

    XLA's own: forwards, as samplers need it, a product with the nine shifted grids side by side takes five times as long.
    """
    kernel = ZEROS if quiet else nnx.initializers.lecun_normal()
    sizes = {"kernel_size": (3,) * axes, "strides": (stride,) * axes, "padding": ((1, 1),) * axes}
    return nnx.Conv(before, width, **sizes, kernel_init=kernel, rngs=rngs)


class Residual(nnx.Module):
    """Norm, silu, convolution, and once more, added to the input (He et al. 2016; Ho et al. 2020, appendix B).

    In between `how` is added, or else (`scaled`) it scales and shifts what is normed (Dhariwal & Nichol 2021, eq. 6).
    """

    def __init__(self, before: int, width: int, how: int, axes: int, groups: int, scaled: bool, *, rngs: nnx.Rngs):
        self.scaled = scaled
        self.norm_first = GroupNorm(before, groups)
        self.first = convolution(before, width, axes, rngs=rngs)
        self.modulate = nnx.Linear(how, 2 * width if scaled else width, rngs=rngs)
        self.norm_second = GroupNorm(width, groups)
        self.second = convolution(width, width, axes, quiet=True, rngs=rngs)
        self.along = None if before == width else nnx.Linear(before, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B *cells C"], how: Float[jax.Array, "B E"]) -> Float[jax.Array, "B *cells D"]:
        y = self.first(jax.nn.silu(self.norm_first(x)))
        said = self.modulate(how)
        said = said.reshape((len(x),) + (1,) * (x.ndim - 2) + (-1,))
        if self.scaled:
            scale, shift = jnp.split(said, 2, axis=-1)
            y = self.norm_second(y) * (1 + scale) + shift
        else:
            y = self.norm_second(y + said)
        return (x if self.along is None else self.along(x)) + self.second(jax.nn.silu(y))


class Glance(nnx.Module):
    """Attention to tokens, those of the grid itself or of a context; a row whose tokens are all masked gets the bias alone."""

    def __init__(self, width: int, heads: int, context: int | None = None, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        self.query = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.key = nnx.Linear(context or width, width, use_bias=False, rngs=rngs)
        self.value = nnx.Linear(context or width, width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], about: Encoding | None = None) -> Float[jax.Array, "B L D"]:
        seen = x if about is None else about.tokens
        parts = (self._heads(y) for y in (self.query(x), self.key(seen), self.value(seen)))
        mixed = mixed_by(*parts, mask=None if about is None else about.mask[:, None, None, :]).reshape(x.shape)
        if about is not None:
            mixed = jnp.where(jnp.any(about.mask, axis=1)[:, None, None], mixed, 0.0)
        return self.out(mixed)

    def _heads(self, x: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B L heads d"]:
        return x.reshape(*x.shape[:2], self.heads, -1)


class Look(nnx.Module):
    """A transformer layer over the cells of a grid: they look at each other, at the condition (where `tokens` is the width of
    its tokens), then a gated perceptron (GEGLU); all of it added to the grid (Rombach et al. 2022, appendix E.2.1)."""

    def __init__(self, width: int, heads: int, tokens: int | None, groups: int, *, rngs: nnx.Rngs):
        self.norm = GroupNorm(width, groups, eps=1e-6)
        self.enter = nnx.Linear(width, width, rngs=rngs)
        self.norm_own = LayerNorm(width, 1e-5)
        self.own = Glance(width, heads, rngs=rngs)
        self.norm_other = None if tokens is None else LayerNorm(width, 1e-5)
        self.other = None if tokens is None else Glance(width, heads, tokens, rngs=rngs)
        self.norm_up = LayerNorm(width, 1e-5)
        self.up = nnx.Linear(width, 8 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)
        self.leave = nnx.Linear(width, width, kernel_init=ZEROS, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B *cells C"], about: Encoding) -> Float[jax.Array, "B *cells C"]:
        y = self.enter(self.norm(x).reshape(len(x), -1, x.shape[-1]))
        y = y + self.own(self.norm_own(y))
        if self.norm_other is not None and self.other is not None:
            y = y + self.other(self.norm_other(y), about)
        value, gate = jnp.split(self.up(self.norm_up(y)), 2, axis=-1)
        y = y + self.down(value * jax.nn.gelu(gate, approximate=False))
        return x + self.leave(y).reshape(x.shape)


class Level(nnx.Module):
    """The blocks of one resolution, and the convolution on the way to the next: `looks` has one of `Look` a block, or none."""

    def __init__(self, blocks: Sequence[Residual], looks: Sequence[Look], resize: nnx.Conv | None):
        self.blocks, self.looks = nnx.List(blocks), nnx.List(looks)
        self.resize = resize

    def block(self, i: int, x: Float[jax.Array, "B *cells C"], how: jax.Array, about: Encoding) -> jax.Array:
        x = self.blocks[i](x, how)
        return self.looks[i](x, about) if self.looks else x


def doubled(x: Float[jax.Array, "B *cells C"], sides: Sequence[int]) -> Float[jax.Array, "B *sides C"]:
    """Each cell twice along each axis, cut to `sides`, which are twice the cells or one less."""
    for axis, side in enumerate(sides, 1):
        x = jax.lax.slice_in_dim(jnp.repeat(x, 2, axis=axis), 0, side, axis=axis)
    return x
