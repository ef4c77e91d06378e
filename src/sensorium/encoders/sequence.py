"""What sounds, clips and traces have in common once they are tokens in time."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.nn.pooling import AttentionPool, apart, masked_mean, one_by_one, side_by_side
from sensorium.nn.transformer import Transformer

POOLINGS = ("attention", "mean", "flatten")


class Trunk(nnx.Module):
    """A transformer over at most `length` tokens, and one vector of them all -> Encoding.

    `pooling`: "attention" (a learned question), "mean" (over the tokens that are there), or "flatten" (side by side: every
    moment keeps its place, at the price of `length`·`width` numbers). Masked tokens are never heard and come out as zeros.
    """

    def __init__(self, length: int, width: int, depth: int, heads: int, pooling: str = "attention", *, rngs: nnx.Rngs):
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")
        self.length, self.pooling = length, pooling
        self.transformer = Transformer(width, depth, heads, rngs=rngs)
        self.pool = AttentionPool(width, heads, rngs=rngs) if pooling == "attention" else None
        self.pooled_width = length * width if pooling == "flatten" else width

    def __call__(self, tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Encoding:
        tokens = self.transformer(tokens, mask)
        if self.pool is not None:
            pooled = self.pool(tokens, mask)
        elif self.pooling == "mean":
            pooled = masked_mean(tokens, mask)
        else:
            pooled = side_by_side(tokens, mask, self.length)
        return Encoding(tokens, mask, pooled)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        """What is pooled of each token alone."""
        if self.pool is not None:
            return one_by_one(self.pool, encoding.tokens)
        if self.pooling == "mean":
            return encoding.tokens
        return apart(encoding.pooled, encoding.tokens.shape[2])[:, : encoding.tokens.shape[1]]


def heads_of(width: int, each: int = 32) -> int:
    """A number of heads that divides `width` and makes them about `each` wide."""
    return next(heads for heads in range(max(1, width // each), 0, -1) if width % heads == 0)


def pieces(
    x: Float[jax.Array, "B N C"], mask: Bool[jax.Array, "B N"], step: int
) -> tuple[Float[jax.Array, "B L step C"], Bool[jax.Array, "B L"]]:
    """Cuts a signal into pieces of `step`, the last filled up with zeros; a piece is there if any of its samples is."""
    rest = -x.shape[1] % step
    x = jnp.pad(x, ((0, 0), (0, rest), (0, 0)))
    # XLA:CPU takes many seconds to fold this reduction where a long mask is a constant, as it is for whole sounds.
    mask = jax.lax.optimization_barrier(jnp.pad(mask, ((0, 0), (0, rest))))
    count = x.shape[1] // step
    return x.reshape(len(x), count, step, x.shape[2]), mask.reshape(len(x), count, step).any(axis=-1)


def sounding(
    x: Float[jax.Array, "B N"], mask: Bool[jax.Array, "B N"] | None, samples: int
) -> tuple[Float[jax.Array, "B N"], Bool[jax.Array, "B N"]]:
    """A sound of `samples` samples with silence where it is masked, and its mask; another length is a `ValueError`."""
    if x.shape[1] != samples:
        raise ValueError(f"a sound of {x.shape[1]} samples, where this encoder was built for {samples}")
    mask = jnp.ones(x.shape, bool) if mask is None else mask
    return jnp.where(mask, x, 0.0), mask
