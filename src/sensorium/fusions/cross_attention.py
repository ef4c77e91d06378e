"""Fusion by cross-attention: every field looks at the others, and takes what its gates let through."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import Stream, TokenEntry, join
from sensorium.fusions.fusion import TINY_TOKENS, Encodings, tiny_encodings
from sensorium.fusions.layer import Layer, Pool, step_key
from sensorium.fusions.weighing import silenced
from sensorium.nn.pooling import masked_mean


class CoAttention(nnx.Module):
    """Gated cross-attention in every direction (co-attention, Lu et al. 2019, ViLBERT, figure 2b).

    In each of `depth` rounds the tokens of every field look at those of all the others, as they were before the round. A field
    whose others are absent keeps to itself. `tokens` are those of all fields, in the order of the fields; `pooled` is the mean
    of one learned summary of each field that is there.
    """

    ordered: ClassVar[bool] = False

    def __init__(
        self, widths: Mapping[str, int], width: int, heads: int = 4, depth: int = 1, dropout: float = 0.0, *, rngs: nnx.Rngs
    ):
        if len(widths) < 2 or depth < 1:
            raise ValueError(f"{len(widths)} fields and depth {depth}: cross-attention needs two fields and one round at least")
        self.entry = TokenEntry(widths, width, rngs=rngs)
        self.rounds = nnx.List(
            [nnx.Dict({name: Layer(width, heads, dropout, gated=True, rngs=rngs) for name in widths}) for _ in range(depth)]
        )
        self.summary = nnx.Dict({name: Pool(width, heads, rngs=rngs) for name in widths})
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[CoAttention, dict[str, Encoding]]":
        return cls(TINY_TOKENS, 8, heads=2, dropout=0.5, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        streams, _ = self.streams(encodings, key)
        return Encoding(*join(streams), self.pooled(streams))

    def pooled(self, streams: Mapping[str, Stream]) -> Float[jax.Array, "B D"]:
        """The mean of a learned summary of each field that is there."""
        vectors = [self.summary[name](*stream)[0] for name, stream in streams.items()]
        here = jnp.stack([x.mask.any(axis=1) for x in streams.values()], axis=1)
        return silenced(masked_mean(jnp.stack(vectors, axis=1), here), here)

    def streams(
        self, encodings: Encodings, key: jax.Array | None = None
    ) -> tuple[dict[str, Stream], dict[str, Float[jax.Array, "B heads L K"]]]:
        """Each field's tokens after the last round, and where each looked in it: K are the others' tokens, field after field."""
        streams, weights = self.entry(encodings), {}
        for i, layers in enumerate(self.rounds):
            after = {}
            for name, (tokens, mask) in streams.items():
                others = join({other: x for other, x in streams.items() if other != name})
                tokens, weights[name] = layers[name](tokens, *others, step_key(key, f"round {i} {name}"))
                after[name] = Stream(jnp.where(mask[:, :, None], tokens, 0.0), mask)
            streams = after
        return streams, weights
