"""What belongs where: a part for each place of a grid, read out of one vector."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.nn.norms import rms_norm

READING = 16
"""Numbers that a place reads of the vector."""


class Places(nnx.Module):
    """Vectors f32[B P] -> what each place reads there with a small matrix of its own, f32[B L D]. So what belongs where is
    learned at once; by attention alone it has to be found first (see `TokenDecoder`)."""

    def __init__(self, vector: int, places: int, width: int, *, rngs: nnx.Rngs):
        self.told = nnx.Linear(vector, width, rngs=rngs)
        self.read = nnx.Param(jax.random.normal(rngs.params(), (places, width, READING)) / math.sqrt(width))
        self.spread = nnx.Linear(READING, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B P"]) -> Float[jax.Array, "B L D"]:
        return self.spread(jnp.einsum("bd,ldr->blr", rms_norm(self.told(x)), self.read[...]))
