"""A text read about something else that was encoded already: BLIP's encoder of questions (Li et al. 2022)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Int

from sensorium.core.encoding import Encoding
from sensorium.nn.standard_context import ContextTransformer


class PublishedQuestion(nnx.Module):
    """Token ids i32[B L], their mask and an `Encoding` of a context -> Encoding: BERT, whose layers look at the context too.

    The tokens are the last hidden state, zero where masked; the first one is the pooled. `layers`: width, heads, hidden,
    activation and eps, as `StandardLayer` has them, and "depth". `context_width`: of the tokens of the context.
    """

    def __init__(self, vocabulary: int, length: int, layers: Mapping[str, Any], context_width: int = 0, *, rngs: nnx.Rngs):
        said = dict(layers) | {"norm_first": False, "context_width": context_width or layers["width"]}
        self.length, self.pooled_width = length, layers["width"]
        self.body = ContextTransformer(vocabulary, length, said, norm_before=True, rngs=rngs)

    def __call__(self, x: Int[jax.Array, "B L"], context: Encoding, mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        mask = jnp.ones(x.shape, bool) if mask is None else mask
        tokens = jnp.where(mask[:, :, None], self.states(x, context, mask)[-1], 0.0)
        return Encoding(tokens, mask, tokens[:, 0])

    def states(self, x: Int[jax.Array, "B L"], context: Encoding, mask: Bool[jax.Array, "B L"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each: f32[B L D]."""
        if x.shape[1] > self.length:
            raise ValueError(
                f"a text of {x.shape[1]} tokens, where this encoder was built for at most {self.length}: cut the text"
            )
        seen = jnp.ones(x.shape, bool) if mask is None else mask
        return self.body(x, seen[:, None, None, :], self.body.look(context))[0]
