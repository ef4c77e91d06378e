"""Norms without parameters: what follows them is linear and can learn a scale (their gradients are slow on CPU)."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32


def rms_norm(x: Float[jax.Array, "*B D"], eps: float = 1e-6) -> Float[jax.Array, "*B D"]:
    """`x` over the root-mean-square of its last axis (Zhang & Sennrich 2019, without the gain); computed in float32."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)).astype(x.dtype)


def unit(x: Float[jax.Array, "*B D"], eps: float = 1e-12) -> Float32[jax.Array, "*B D"]:
    """`x` at length 1, in float32. Zero stays zero and has a finite gradient, which x / max(|x|, eps) has not."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), eps))
