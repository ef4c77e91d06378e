"""What tokens make of each other: multi-head attention, within a sequence and across, pre-norm blocks, a gated convolution."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import check_heads

NEVER = -1e9
"""The score of what is not looked at."""


class KeysValues(NamedTuple):
    """What a layer keeps of the tokens that it may look at: head by head, as `looked_up` multiplies them, so that a decoder which
    writes word by word need not turn all of them around at each."""

    keys: Float[jax.Array, "B heads K d"]
    values: Float[jax.Array, "B heads K d"]

    @classmethod
    def of(cls, keys: Float[jax.Array, "B K heads d"], values: Float[jax.Array, "B K heads d"]) -> "KeysValues":
        return cls(jnp.swapaxes(keys, 1, 2), jnp.swapaxes(values, 1, 2))

    def put(self, new: "KeysValues", start: int | Int[jax.Array, ""]) -> "KeysValues":
        """With those of new tokens in the places from `start` on, in the type in which these are kept."""
        pairs = zip(self, new, strict=True)
        return KeysValues(*(jax.lax.dynamic_update_slice_in_dim(a, b.astype(a.dtype), start, 2) for a, b in pairs))


class Attention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017, eq. 1); keys that `mask` leaves out get no weight."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B L D"]:
        q, k, v = jnp.split(self.qkv(x).reshape(*x.shape[:2], self.heads, 3 * x.shape[2] // self.heads), 3, axis=-1)
        mixed = mixed_by(q, k, v, mask[:, None, None, :])
        return self.out(mixed.reshape(x.shape))


class CrossAttention(nnx.Module):
    """Multi-head attention of one sequence to another, which may be of another width. A query that may look at nothing gets 0."""

    def __init__(self, width: int, heads: int, context_width: int | None = None, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        self.query = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.key_value = nnx.Linear(context_width or width, 2 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)

    def __call__(
        self, x: Float[jax.Array, "B L D"], context: Float[jax.Array, "B K E"], mask: Bool[jax.Array, "B K"]
    ) -> Float[jax.Array, "B L D"]:
        return self.with_weights(x, context, mask)[0]

    def with_weights(
        self, x: Float[jax.Array, "B L D"], context: Float[jax.Array, "B K E"], mask: Bool[jax.Array, "B K"]
    ) -> tuple[Float[jax.Array, "B L D"], Float[jax.Array, "B heads L K"]]:
        """The output, and how much each head of each query looks at each key: rows of sum 1, or 0 where all is masked."""
        q = self.query(x).reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads)
        k, v = jnp.split(self.key_value(context).reshape(*context.shape[:2], self.heads, 2 * q.shape[3]), 2, axis=-1)
        mixed, weights = attend(q, k, v, mask[:, None, None, :])
        return self.out(mixed.reshape(x.shape)), weights


def mixed_by(
    q: Float[jax.Array, "B L heads d"],
    k: Float[jax.Array, "B K heads d"],
    v: Float[jax.Array, "B K heads d"],
    mask: Bool[jax.Array, "#B #heads #L K"] | None,
    bias: Float[jax.Array, "#B #heads L K"] | None = None,
) -> Float[jax.Array, "B L heads d"]:
    """JAX's own attention, fused where the device can; a query whose keys are all masked gives something finite, no more. `bias`
    is added to the scores. Of float16 it is computed in float32 on CPUs, where JAX has no products of that kind."""

    def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        with jax.numpy_dtype_promotion("standard"):  # with bfloat16 it mixes types of its own
            return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=mask)

    def wide(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return plain(*(x.astype(jnp.float32) for x in (q, k, v))).astype(q.dtype)

    return jax.lax.platform_dependent(q, k, v, cpu=wide, default=plain) if q.dtype == jnp.float16 else plain(q, k, v)


def looked_up(
    q: Float[jax.Array, "B L heads d"],
    kept: KeysValues,
    mask: Bool[jax.Array, "#B #heads #L K"] | None,
    bias: Float[jax.Array, "#B #heads L K"] | None = None,
) -> Float[jax.Array, "B L heads d"]:
    """`mixed_by` of keys and values that are `kept`."""
    if q.dtype == jnp.float16:
        keys, values = (jnp.swapaxes(x, 1, 2) for x in kept)
        return mixed_by(q, keys, values, mask, bias)
    scores = jnp.einsum("blhd,bhkd->bhlk", q, kept.keys, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
    scores = scores if bias is None else scores + bias
    weights = jax.nn.softmax(scores if mask is None else jnp.where(mask, scores, NEVER), axis=-1)
    return jnp.einsum("bhlk,bhkd->blhd", weights.astype(kept.values.dtype), kept.values)


def attend(
    q: Float[jax.Array, "B L heads d"],
    k: Float[jax.Array, "B K heads d"],
    v: Float[jax.Array, "B K heads d"],
    mask: Bool[jax.Array, "#B #heads #L K"],
) -> tuple[Float[jax.Array, "B L heads d"], Float[jax.Array, "B heads L K"]]:
    """softmax(q·k / √d)·v and its weights (Vaswani et al. 2017, eq. 1), both 0 for a query whose keys are all masked."""
    scores = jnp.einsum("blhd,bkhd->bhlk", q, k) / math.sqrt(q.shape[-1])
    shares = jax.nn.softmax(jnp.where(mask, scores.astype(jnp.float32), NEVER), axis=-1)
    weights = jnp.where(mask, shares, 0.0).astype(v.dtype)
    return jnp.einsum("bhlk,bkhd->blhd", weights, v), weights


class Block(nnx.Module):
    """Attention, then a gated perceptron (GEGLU, Shazeer 2020), each on a normed input and added to its residual stream."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.attention = Attention(width, heads, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B L D"]:
        x = x + self.attention(rms_norm(x), mask)
        return x + self.down(geglu(self.up(rms_norm(x))))


class Neighbours(nnx.Module):
    """A gated convolution over `window` tokens, added to its residual stream: what words that stand together make of each
    other, which attention has to learn (the convolution module of Gulati et al. 2020, Conformer, without depth-wise parts)."""

    def __init__(self, width: int, window: int, *, rngs: nnx.Rngs):
        self.window = window
        self.up = nnx.Linear(window * width, 2 * width, rngs=rngs)
        self.down = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B L D"]:
        reach = self.window // 2
        around = jnp.pad(jnp.where(mask[:, :, None], rms_norm(x), 0.0), ((0, 0), (reach, reach), (0, 0)))
        around = jnp.concatenate([around[:, i : i + x.shape[1]] for i in range(self.window)], axis=-1)
        return x + self.down(geglu(self.up(around)))


def geglu(x: Float[jax.Array, "*B D"]) -> Float[jax.Array, "*B E"]:
    """One half of the last axis gates the other."""
    gate, value = jnp.split(x, 2, axis=-1)
    return jax.nn.gelu(gate) * value
