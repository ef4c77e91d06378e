"""How much of each field: weights over the fields that are there, and zeros where none is."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float


def shares(logits: Float[jax.Array, "B M"], here: Bool[jax.Array, "B M"]) -> Float[jax.Array, "B M"]:
    """softmax over the fields that are there; zeros in a row that has none."""
    return jnp.where(here, jax.nn.softmax(jnp.where(here, logits, -1e9), axis=-1), 0.0)


def renormalised(weights: Float[jax.Array, " M"], here: Bool[jax.Array, "B M"]) -> Float[jax.Array, "B M"]:
    """The weights over the fields that are there, at a sum of 1; zeros where these weigh nothing."""
    kept = jnp.where(here, weights[None], 0.0)
    total = jnp.sum(kept, axis=-1, keepdims=True)
    return kept / jnp.where(total > 0, total, 1.0)


def weighed(vectors: Float[jax.Array, "B M D"], weights: Float[jax.Array, "B M"]) -> Float[jax.Array, "B D"]:
    """The weighted sum over the fields."""
    return jnp.einsum("bmd,bm->bd", vectors, weights)


def silenced(x: Float[jax.Array, "B D"], here: Bool[jax.Array, "B M"]) -> Float[jax.Array, "B D"]:
    """Zeros in the rows where nothing is there (what follows a bias would not be)."""
    return jnp.where(here.any(axis=1, keepdims=True), x, 0.0)
