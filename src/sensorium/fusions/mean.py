"""Late fusion: each field's vector at length 1, and their weighted mean."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import VectorEntry
from sensorium.fusions.fusion import TINY_POOLED, Encodings, tiny_encodings
from sensorium.fusions.weighing import shares, weighed
from sensorium.nn.norms import unit


class Mean(nnx.Module):
    """The mean of the fields' projected unit vectors, weighted by a learned share for each, over those that are there.

    `tokens` are the unit vectors, one a field. The shares start equal.
    """

    ordered: ClassVar[bool] = False

    def __init__(self, widths: Mapping[str, int], width: int, *, rngs: nnx.Rngs):
        self.entry = VectorEntry(widths, width, rngs=rngs)
        self.logits = nnx.Param(jnp.zeros(len(widths)))
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Mean, dict[str, Encoding]]":
        return cls(TINY_POOLED, 8, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        vectors, here = self.entry(encodings)
        vectors = unit(vectors)
        return Encoding(vectors, here, weighed(vectors, learned_shares(self.logits, here)))


def learned_shares(logits: nnx.Param, here: Bool[jax.Array, "B M"]) -> Float[jax.Array, "B M"]:
    """One learned weight a field, for every row: a softmax over the fields that the row has."""
    return shares(jnp.broadcast_to(logits[...][None], here.shape), here)
