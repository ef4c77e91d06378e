"""The shared latent, and the noisy copy of it that each modality renders: where `alignment_strength` is defined.

A sample has one latent z of 32 independent standard normals. Modality m renders, without any further noise, its own copy

    z_m = a·z + √(1 − a²)·e_m,    e_m independent standard normals of their own for each sample and each modality,

so that `a`, the alignment strength, is the correlation of every number that m tells with the truth, whatever m is: 0 is
independence, 1 a function of z. Two modalities correlate by a². Noise added to pixels instead would be averaged away by who
looks at many of them: the same strength would mean more in 16,000 samples of sound than in 50 words.
"""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from sensorium.core.randomness import named

DIMENSIONS = 32


def copies(
    latent: Float[jax.Array, "*B 32"], strength: float | jax.Array, modality: str, key: jax.Array | None = None
) -> Float[jax.Array, "*B 32"]:
    """What `modality` has of the latent, as coordinates that are each a mixture of all 32 (an orthonormal rotation).

    Without a key the noise is drawn from the bits of the latent itself: another latent, other noise; the same, the same.
    """
    if key is None:
        draw = jnp.vectorize(lambda z: _noise(_key_of_bits(z), modality, (DIMENSIONS,)), signature="(d)->(d)")
        noise = draw(latent)
    else:
        noise = _noise(key, modality, latent.shape)
    strength = jnp.asarray(strength, latent.dtype)
    return (strength * latent + jnp.sqrt(1 - strength**2) * noise) @ rotation().T


def check(latent: jax.Array | np.ndarray, strength: float | jax.Array) -> None:
    """A `ValueError` where the latent has not 32 numbers, or a strength that is known is outside [0, 1]."""
    if np.ndim(latent) not in (1, 2) or np.shape(latent)[-1] != DIMENSIONS:
        raise ValueError(f"a latent of shape {np.shape(latent)}: expected ({DIMENSIONS},), or (B, {DIMENSIONS}) for a batch")
    if not isinstance(strength, Tracer) and not 0 <= float(strength) <= 1:
        raise ValueError(f"alignment_strength={float(strength)}: expected a number from 0 (independent) to 1 (noise-free)")


@cache
def rotation() -> Float[np.ndarray, "32 32"]:
    """The orthonormal cosine transform (DCT-II): none of its entries is 0, so every coordinate hears of all 32 dimensions."""
    i = np.arange(DIMENSIONS)
    matrix = np.sqrt(2 / DIMENSIONS) * np.cos(np.pi * i[:, None] * (i + 0.5) / DIMENSIONS)
    matrix[0] /= math.sqrt(2)
    return matrix.astype(np.float32)


def _noise(key: jax.Array, modality: str, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.normal(named(key, f"noise of {modality}"), shape)


def _key_of_bits(latent: Float[jax.Array, " 32"]) -> jax.Array:
    """A key made of the bits of 32 numbers: two sums with odd weights, each stirred (the finaliser of MurmurHash3)."""
    bits = jax.lax.bitcast_convert_type(latent.astype(jnp.float32), jnp.uint32)
    weights = np.random.Generator(np.random.Philox(32)).integers(0, 2**32, (2, DIMENSIONS), np.uint32) | np.uint32(1)
    mixed = jnp.sum(_stirred(bits)[None] * weights, axis=1, dtype=jnp.uint32)
    return jax.random.wrap_key_data(_stirred(mixed), impl="threefry2x32")


def _stirred(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
