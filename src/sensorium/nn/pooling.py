"""Many tokens to one vector a row. Masked tokens never count, and a row without any token is the zero vector."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.nn.sizes import check_heads, flat


def masked_mean(tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B D"]:
    """The mean of the tokens that the mask keeps."""
    total = jnp.sum(jnp.where(mask[:, :, None], tokens, 0.0), axis=1, dtype=jnp.float32)
    return (total / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True, dtype=jnp.float32), 1.0)).astype(tokens.dtype)


def at_end(
    tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"], ids: Int[jax.Array, "B L"], end: int
) -> Float[jax.Array, "B D"]:
    """The token at the first unmasked `end` of a row; where a row has none, its last unmasked token."""
    ends = (ids == end) & mask
    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    place = jnp.where(jnp.any(ends, axis=1), jnp.argmax(ends, axis=1), last)
    chosen = jnp.take_along_axis(tokens, place[:, None, None], axis=1)[:, 0]
    return jnp.where(jnp.any(mask, axis=1)[:, None], chosen, 0.0)


def side_by_side(tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"], length: int) -> Float[jax.Array, "B P"]:
    """The tokens one after another, zeros where masked and after the last: `length` places in all, none of them mixed."""
    if tokens.shape[1] > length:
        raise ValueError(f"{tokens.shape[1]} tokens, where there are places for {length}")
    kept = jnp.where(mask[:, :, None], tokens, 0.0)
    return flat(jnp.pad(kept, ((0, 0), (0, length - kept.shape[1]), (0, 0))))


def one_by_one(
    pool: Callable[[Float[jax.Array, "B L D"], Bool[jax.Array, "B L"]], Float[jax.Array, "B P"]],
    tokens: Float[jax.Array, "B L D"],
) -> Float[jax.Array, "B L P"]:
    """What a pooling gives for each token alone."""
    rows, length, width = tokens.shape
    pooled = pool(tokens.reshape(rows * length, 1, width), jnp.ones((rows * length, 1), bool))
    return pooled.reshape(rows, length, pooled.shape[1])


def apart(pooled: Float[jax.Array, "B P"], width: int) -> Float[jax.Array, "B L P"]:
    """Of tokens that are pooled by laying them side by side: each alone in its place, and zeros in the others'."""
    rows, length = len(pooled), pooled.shape[1] // width
    alone = jnp.eye(length, dtype=pooled.dtype)[None, :, :, None] * pooled.reshape(rows, 1, length, width)
    return alone.reshape(rows, length, length * width)


class AttentionPool(nnx.Module):
    """A learned question a head, asked of all tokens (Lee et al. 2019, Set Transformer, PMA; Zhai et al. 2022, MAP)."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.questions = nnx.Param(jax.random.normal(rngs.params(), (heads, width // heads)))
        self.key_value = nnx.Linear(width, 2 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)

    def __call__(self, tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B D"]:
        questions, kept = self.questions[...], mask[:, None, :]
        k, v = (x.reshape(*mask.shape, *questions.shape) for x in jnp.split(self.key_value(tokens), 2, axis=-1))
        scores = jnp.einsum("hd,blhd->bhl", questions, k) / math.sqrt(questions.shape[1])
        shares = jax.nn.softmax(jnp.where(kept, scores.astype(jnp.float32), -1e9), axis=-1)
        weights = jnp.where(kept, shares, 0.0).astype(v.dtype)
        return self.out(jnp.einsum("bhl,blhd->bhd", weights, v).reshape(tokens.shape[0], tokens.shape[2]))
