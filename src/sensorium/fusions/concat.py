"""Early fusion: the tokens of all fields in one sequence."""

import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import Stream, TokenEntry, join, part
from sensorium.fusions.fusion import TINY_TOKENS, Encodings, tiny_encodings
from sensorium.fusions.layer import Layer, step_key
from sensorium.fusions.weighing import silenced
from sensorium.nn.pooling import masked_mean


class Concat(nnx.Module):
    """Every field's tokens, normed and projected, told apart by field and by place, in one sequence for `depth` layers.

    `tokens` are all of them, in the order of the fields. `pooled` is the mean over the fields that are there of the mean over
    each one's tokens, so that a field of 196 tokens counts as much as one of 8.
    """

    ordered: ClassVar[bool] = True

    def __init__(
        self, widths: Mapping[str, int], width: int, heads: int = 4, depth: int = 1, dropout: float = 0.0, *, rngs: nnx.Rngs
    ):
        if depth < 1:
            raise ValueError(f"depth={depth}: without a layer the fields would stand side by side and never meet")
        self.entry = TokenEntry(widths, width, rngs=rngs)
        self.layers = nnx.List([Layer(width, heads, dropout, rngs=rngs) for _ in range(depth)])
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Concat, dict[str, Encoding]]":
        return cls(TINY_TOKENS, 8, heads=2, dropout=0.5, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        return self.with_weights(encodings, key)[0]

    def with_weights(
        self, encodings: Encodings, key: jax.Array | None = None
    ) -> tuple[Encoding, Float[jax.Array, "B heads L L"]]:
        """The encoding, and how much each token looked at each other one in the last layer, in the order of `tokens`."""
        streams = {name: Stream(x + _places(x.shape), mask) for name, (x, mask) in self.entry(encodings).items()}
        tokens, mask = join(streams)
        weights = jnp.zeros(())
        for i, layer in enumerate(self.layers):
            tokens, weights = layer(tokens, tokens, mask, step_key(key, f"layer {i}"))
        means = [masked_mean(x, here) for x, here in part(Stream(tokens, mask), streams).values()]
        here = jnp.stack([x.mask.any(axis=1) for x in streams.values()], axis=1)
        pooled = masked_mean(jnp.stack(means, axis=1), here)
        return Encoding(jnp.where(mask[:, :, None], tokens, 0.0), mask, silenced(pooled, here)), weights


def _places(shape: tuple[int, ...]) -> Float[np.ndarray, "1 L D"]:
    """Sines and cosines of the place (Vaswani et al. 2017, section 3.5); any length."""
    half = -(-shape[2] // 2)
    angles = np.arange(shape[1])[:, None] * np.exp(-math.log(10_000.0) * np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[None, :, : shape[2]].astype(np.float32)
