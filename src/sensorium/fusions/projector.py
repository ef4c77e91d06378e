"""A projection for each field, by name, and a learned mean of what comes out."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import VectorEntry
from sensorium.fusions.fusion import TINY_POOLED, Encodings, tiny_encodings
from sensorium.fusions.mean import learned_shares
from sensorium.fusions.weighing import silenced, weighed
from sensorium.nn.sizes import whole


class Projector(nnx.Module):
    """GELU of each field's projection, their mean by learned weights over the fields that are there, a last projection.

    `tokens` are the projections, one a field, `hidden` wide. The weights start equal.
    """

    ordered: ClassVar[bool] = False

    def __init__(self, widths: Mapping[str, int], hidden: int, width: int, *, rngs: nnx.Rngs):
        self.entry = VectorEntry(widths, hidden, rngs=rngs)
        self.logits = nnx.Param(jnp.zeros(len(widths)))
        self.out = nnx.Linear(hidden, whole("width", width), rngs=rngs)
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Projector, dict[str, Encoding]]":
        return cls(TINY_POOLED, 10, 8, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        return self.with_weights(encodings)[0]

    def with_weights(self, encodings: Encodings) -> tuple[Encoding, Float[jax.Array, "B M"]]:
        """The encoding, and each field's share in it: of sum 1 over the fields that the row has."""
        vectors, here = self.entry(encodings)
        vectors = jax.nn.gelu(vectors)  # 0 stays 0
        weights = learned_shares(self.logits, here)
        return Encoding(vectors, here, silenced(self.out(weighed(vectors, weights)), here)), weights
