"""Fusion by attention: the tokens of all fields look at each other, then a learned query weighs the fields."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import Stream, TokenEntry, join, part
from sensorium.fusions.fusion import TINY_TOKENS, Encodings, tiny_encodings
from sensorium.fusions.layer import Layer, Pool, step_key
from sensorium.fusions.weighing import silenced
from sensorium.nn.norms import rms_norm


class JointAttention(nnx.Module):
    """`depth` layers of self-attention over the tokens of all fields together; `pooled` in two steps of learned queries.

    The first query makes one vector of each field's tokens, the second weighs these: a field's weight follows its content
    and not its number of tokens. `tokens` are those of all fields, in the order of the fields.
    """

    ordered: ClassVar[bool] = False

    def __init__(
        self, widths: Mapping[str, int], width: int, heads: int = 4, depth: int = 1, dropout: float = 0.0, *, rngs: nnx.Rngs
    ):
        self.entry = TokenEntry(widths, width, rngs=rngs)
        self.layers = nnx.List([Layer(width, heads, dropout, rngs=rngs) for _ in range(depth)])
        self.within = Pool(width, heads, rngs=rngs)
        self.between = Pool(width, heads, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[JointAttention, dict[str, Encoding]]":
        return cls(TINY_TOKENS, 8, heads=2, dropout=0.5, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        return self.with_weights(encodings, key)[0]

    def with_weights(self, encodings: Encodings, key: jax.Array | None = None) -> tuple[Encoding, Float[jax.Array, "B heads M"]]:
        """The encoding, and how much each head of the last query takes of each field: of sum 1 over those that are there."""
        streams = self.entry(encodings)
        tokens, mask = join(streams)
        for i, layer in enumerate(self.layers):
            tokens, _ = layer(tokens, tokens, mask, step_key(key, f"layer {i}"))
        vectors = [self.within(x, real)[0] for x, real in part(Stream(tokens, mask), streams).values()]
        here = jnp.stack([x.mask.any(axis=1) for x in streams.values()], axis=1)
        chosen, weights = self.between(jnp.stack(vectors, axis=1), here)
        pooled = silenced(self.out(rms_norm(chosen)), here)
        return Encoding(jnp.where(mask[:, :, None], tokens, 0.0), mask, pooled), weights
