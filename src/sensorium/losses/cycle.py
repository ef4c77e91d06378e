"""There and back again: what went through two translations should be what it was."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.objective import LossRows
from sensorium.losses.reconstruct import absolute
from sensorium.nn.norms import unit


def came_back(x: Float[jax.Array, "*X"], back: Float[jax.Array, "*X"], counts: Bool[jax.Array, " B"]) -> LossRows:
    """Each row's mean absolute difference between what went out and what came back (Zhu et al. 2017, CycleGAN, eq. 2)."""
    return absolute(x, back, counts)


def turned(x: Float[jax.Array, "B D"], back: Float[jax.Array, "B D"], counts: Bool[jax.Array, " B"]) -> LossRows:
    """1 − cosine of each row with what came back, for embeddings, whose lengths mean nothing; 1 where one of them is 0."""
    x, back = jnp.where(counts[:, None], x, 0.0), jnp.where(counts[:, None], back, 0.0)
    return LossRows(jnp.where(counts, 1.0 - jnp.sum(unit(x) * unit(back), axis=1), 0.0), counts)
