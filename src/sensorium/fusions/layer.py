"""What the attending fusions are made of: a residual layer of cross-attention, a pool with a learned query, and dropout."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.randomness import named
from sensorium.nn.attention import CrossAttention, geglu
from sensorium.nn.norms import rms_norm


class Layer(nnx.Module):
    """Tokens look at a context (another sequence, or their own), then a gated perceptron (GEGLU, Shazeer 2020).

    Each is read normed, dropped out, and added to the residual stream (pre-norm, Xiong et al. 2020). With `gated`, each
    token decides, channel by channel, how much of what it saw it takes (a sigmoid of both, as in Arevalo et al. 2017, eq. 3).
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, gated: bool = False, *, rngs: nnx.Rngs):
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: give a share from 0 to below 1")
        self.dropout = dropout
        self.look = CrossAttention(width, heads, rngs=rngs)
        self.gate = nnx.Linear(2 * width, width, rngs=rngs) if gated else None
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(
        self,
        x: Float[jax.Array, "B L D"],
        context: Float[jax.Array, "B K D"],
        mask: Bool[jax.Array, "B K"],
        key: jax.Array | None = None,
    ) -> tuple[Float[jax.Array, "B L D"], Float[jax.Array, "B heads L K"]]:
        """The tokens after the layer, and where each head of each token looked."""
        normed = rms_norm(x)
        seen, weights = self.look.with_weights(normed, rms_norm(context), mask)
        if self.gate is not None:
            seen = seen * jax.nn.sigmoid(self.gate(jnp.concatenate([normed, seen], axis=-1)))
        x = x + drop(seen, self.dropout, key, "look")
        return x + drop(self.down(geglu(self.up(rms_norm(x)))), self.dropout, key, "think"), weights


class Pool(nnx.Module):
    """A sequence as one vector: what a learned query sees of it (Lee et al. 2019, Set Transformer, eq. 12 with one seed)."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.query = nnx.Param(jax.random.normal(rngs.params(), (width,)))
        self.look = CrossAttention(width, heads, rngs=rngs)

    def __call__(
        self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]
    ) -> tuple[Float[jax.Array, "B D"], Float[jax.Array, "B heads L"]]:
        query = jnp.broadcast_to(self.query[...][None, None], (len(x), 1, x.shape[-1]))
        seen, weights = self.look.with_weights(query, rms_norm(x), mask)
        return seen[:, 0], weights[:, :, 0]


def drop(x: Float[jax.Array, "*B D"], rate: float, key: jax.Array | None, purpose: str) -> Float[jax.Array, "*B D"]:
    """Dropout (Srivastava et al. 2014), scaled so that the mean stays; without a key nothing is dropped."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(named(key, purpose), 1 - rate, x.shape), x / (1 - rate), 0.0)


def step_key(key: jax.Array | None, purpose: str) -> jax.Array | None:
    """The key of one part of a fusion; none where there is none."""
    return None if key is None else named(key, purpose)
