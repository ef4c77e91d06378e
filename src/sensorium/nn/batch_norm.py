"""Batch norm with the statistics of a published checkpoint."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float


class StoredNorm(nnx.Module):
    """Ioffe & Szegedy 2015, as it is after training: the last axis less a stored mean, over a stored deviation, in float32.

    `mean` and `var` belong to the checkpoint: no gradient moves them, and no batch does, so that rows never mix.
    """

    def __init__(self, width: int, eps: float = 1e-5):
        self.eps = eps
        self.mean, self.var = nnx.BatchStat(jnp.zeros(width)), nnx.BatchStat(jnp.ones(width))
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[jax.Array, "*B D"]) -> Float[jax.Array, "*B D"]:
        y = x.astype(jnp.float32)
        mean, var, scale, bias = (
            jax.lax.broadcast_in_dim(part[...].astype(jnp.float32), y.shape, (y.ndim - 1,))
            for part in (self.mean, self.var, self.scale, self.bias)
        )
        return ((y - mean) * jax.lax.rsqrt(var + self.eps) * scale + bias).astype(x.dtype)
