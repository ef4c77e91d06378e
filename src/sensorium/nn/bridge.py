"""A bridge from the vectors of one space to those of another."""

import jax
from flax import nnx
from jaxtyping import Float

from sensorium.nn.norms import rms_norm


class Bridge(nnx.Module):
    """A linear map, and with `hidden` units a perceptron of what comes out of it, added; that starts as nothing."""

    def __init__(self, width: int, to: int, hidden: int = 0, *, rngs: nnx.Rngs):
        self.across = nnx.Linear(width, to, rngs=rngs)
        self.up = nnx.Linear(to, hidden, rngs=rngs) if hidden else None
        nothing = nnx.initializers.zeros
        self.down = nnx.Linear(hidden, to, use_bias=False, kernel_init=nothing, rngs=rngs) if hidden else None

    def __call__(self, x: Float[jax.Array, "B D"]) -> Float[jax.Array, "B E"]:
        y = self.across(x)
        if self.up is None or self.down is None:
            return y
        return y + self.down(jax.nn.gelu(self.up(rms_norm(y))))
