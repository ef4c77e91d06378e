"""Gated fusion: for every row and channel, how much of which field."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import VectorEntry
from sensorium.fusions.fusion import TINY_POOLED, Encodings, tiny_encodings
from sensorium.nn.sizes import flat


class Gated(nnx.Module):
    """The gated multimodal unit (Arevalo et al. 2017, eq. 1-4): h = Σ z_m ⊙ tanh(W_m x_m), the gates z of all fields together.

    As there, every gate sees every field; unlike there, they are a softmax over the fields that are there, channel by channel,
    so that one field alone passes whole and an absent one takes nothing. `tokens` are the tanh vectors, one a field.
    """

    ordered: ClassVar[bool] = False

    def __init__(self, widths: Mapping[str, int], width: int, *, rngs: nnx.Rngs):
        self.entry = VectorEntry(widths, width, rngs=rngs)
        self.gate = nnx.Linear(len(widths) * width, len(widths) * width, rngs=rngs)
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Gated, dict[str, Encoding]]":
        return cls(TINY_POOLED, 8, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        return self.with_weights(encodings)[0]

    def with_weights(self, encodings: Encodings) -> tuple[Encoding, Float[jax.Array, "B M D"]]:
        """The encoding, and the gates: for each channel of sum 1 over the fields that the row has."""
        vectors, here = self.entry(encodings)
        logits = self.gate(flat(vectors)).reshape(vectors.shape)
        there = here[:, :, None]
        gates = jnp.where(there, jax.nn.softmax(jnp.where(there, logits, -1e9), axis=1), 0.0)
        vectors = jnp.tanh(vectors)
        return Encoding(vectors, here, jnp.sum(gates * vectors, axis=1)), gates
