"""A resampler: however many tokens come in, a fixed number of learned latents goes out."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import TokenEntry, join
from sensorium.fusions.fusion import TINY_TOKENS, Encodings, tiny_encodings
from sensorium.fusions.layer import Layer, step_key
from sensorium.fusions.weighing import silenced


class Resampler(nnx.Module):
    """`latents` learned vectors look at the tokens of all fields and at each other, `depth` times.

    Jaegle et al. 2021 (Perceiver); that the latents are keys too is the resampler of Alayrac et al. 2022 (Flamingo, section
    3.1). `tokens` are the latents, all of them there if any field is; `pooled` is their mean.
    """

    ordered: ClassVar[bool] = False

    def __init__(
        self,
        widths: Mapping[str, int],
        width: int,
        latents: int = 16,
        heads: int = 4,
        depth: int = 2,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        if latents < 1 or depth < 1:
            raise ValueError(f"latents={latents}, depth={depth}: one at least of each")
        self.entry = TokenEntry(widths, width, rngs=rngs)
        self.latents = nnx.Param(jax.random.normal(rngs.params(), (latents, width)))
        self.layers = nnx.List([Layer(width, heads, dropout, rngs=rngs) for _ in range(depth)])
        self.fields, self.pooled_width = tuple(widths), width

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Resampler, dict[str, Encoding]]":
        return cls(TINY_TOKENS, 8, latents=3, heads=2, depth=1, dropout=0.5, rngs=rngs), tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        latents, here, _ = self.resample(encodings, key=key)
        mask = jnp.broadcast_to(here[:, None], latents.shape[:2])
        return Encoding(latents, mask, silenced(jnp.mean(latents, axis=1), mask))

    def resample(
        self, encodings: Encodings, latents: Float[jax.Array, "B K D"] | None = None, key: jax.Array | None = None
    ) -> tuple[Float[jax.Array, "B K D"], Bool[jax.Array, " B"], Float[jax.Array, "B heads K L"]]:
        """What the latents (given, or the learned ones) have become, which rows had tokens, and where the last layer looked.

        Of the weights, the part on the tokens; the rest of each sum of 1 is what the latents see of each other.
        """
        tokens, mask = join(self.entry(encodings))
        own = jnp.broadcast_to(self.latents[...][None], (len(tokens), *self.latents.shape))
        x, here = own if latents is None else latents, mask.any(axis=1)
        seen = jnp.concatenate([mask, jnp.broadcast_to(here[:, None], x.shape[:2])], axis=1)
        weights = jnp.zeros(())
        for i, layer in enumerate(self.layers):
            x, weights = layer(x, jnp.concatenate([tokens, x], axis=1), seen, step_key(key, f"layer {i}"))
        return jnp.where(here[:, None, None], x, 0.0), here, weights[..., : tokens.shape[1]]
