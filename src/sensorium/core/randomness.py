"""Keys: where a caller holds an `nnx.Rngs`, a number or a key, and what each use of one key is for."""

import zlib

import jax
import jax.numpy as jnp
from flax import nnx


def key_of(rngs: nnx.Rngs | jax.Array | int) -> jax.Array:
    """A fresh key from an `nnx.Rngs` (its `default` stream, or else its first one, which moves on), from a key or from a seed."""
    if isinstance(rngs, int):
        return jax.random.key(rngs)
    if isinstance(rngs, jax.Array):
        return rngs if jnp.issubdtype(rngs.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(rngs)
    streams = sorted(rngs)
    if not streams:
        raise ValueError("an nnx.Rngs without any stream: give nnx.Rngs(0)")
    return rngs["default" if "default" in streams else streams[0]]()


def named(key: jax.Array, purpose: str) -> jax.Array:
    """The key folded with what it is for, so that two uses of one key draw apart."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))
