"""Multi-head attention and the pre-norm transformer block."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.nn.norms import rms_norm


class Attention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017, eq. 1); keys that `mask` leaves out get no weight."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        if width % heads:
            raise ValueError(f"width {width} cannot be split into {heads} heads")
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B L D"]:
        q, k, v = jnp.split(self.qkv(x).reshape(*x.shape[:2], self.heads, -1), 3, axis=-1)
        mixed = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None, None, :])
        return self.out(mixed.reshape(x.shape))


class Block(nnx.Module):
    """Attention, then a two-layer perceptron, each on a normed input and added to its residual stream."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.attention = Attention(width, heads, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B L D"]:
        x = x + self.attention(rms_norm(x), mask)
        return x + self.down(jax.nn.gelu(self.up(rms_norm(x))))
