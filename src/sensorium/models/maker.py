"""From some senses to the pictures, sounds or clips of another: encoders, and a decoder that makes them out of noise."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Key

from sensorium.core.encoding import Encoder, Encoding, encoded
from sensorium.decoders.denoiser import Denoiser
from sensorium.encoders import ENCODERS
from sensorium.models.space import Outputs
from sensorium.nn.norms import unit


class Maker(nnx.Module):
    """Batch -> `"<field>/unit"` f32[B P], the pooled vector of every encoder; and with a key (in training), where the batch
    holds the target and all that it is made from, `"<target>/said"`, `"<target>/wanted"` and `"<target>/weight"` for the loss
    `Denoise`.

    The decoder looks at the tokens of all encoders, one after another, and reads their pooled vectors, side by side. A field
    that a row lacks has no tokens, and zeros in its place.
    """

    def __init__(self, encoders: Mapping[str, Encoder], decoder: Denoiser, target: str):
        if target in encoders or not encoders:
            raise ValueError(f"encoders of {', '.join(encoders) or 'nothing'} for {target!r}: expected one or more, not of it")
        self.encoders, self.decoder, self.target = nnx.Dict(dict(encoders)), decoder, target
        self.width = sum(encoder.pooled_width for encoder in encoders.values())

    @classmethod
    def build(
        cls, encoders: Mapping[str, Mapping[str, Any]], decoder: Mapping[str, Any], target: str, *, rngs: nnx.Rngs
    ) -> "Maker":
        """What JSON describes: `encoders[field]` names an encoder of `ENCODERS` and holds its arguments, `decoder` holds those of
        a `Denoiser`."""
        made = {}
        for name, arguments in encoders.items():
            rest = {key: value for key, value in arguments.items() if key != "encoder"}
            made[name] = ENCODERS[arguments["encoder"]](**rest, rngs=rngs)
        width = sum(encoder.pooled_width for encoder in made.values())
        return cls(made, Denoiser(**decoder, vector=width, rngs=rngs), target)

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    def settle(self) -> None:
        """Called after every update: there is nothing to hold within bounds."""

    def __call__(self, batch: dict[str, jax.Array], key: Key[jax.Array, ""] | None = None) -> Outputs:
        found = self._encodings(batch)
        out = {f"{name}/unit": unit(encoding.pooled.astype(jnp.float32)) for name, encoding in found.items()}
        if key is not None and self.target in batch and len(found) == len(self.encoders):
            out |= self.decoder(batch[self.target], _beside(found), key).outputs(self.target)
        return out

    def all_outputs(self, batch: dict[str, jax.Array]) -> Outputs:
        """For those who compare: beside what a call gives, `"<field>/tokens"` [B L D] and `"<field>/pooled"` [B P]."""
        out = self(batch)
        for name, encoding in self._encodings(batch).items():
            out |= {f"{name}/tokens": encoding.tokens, f"{name}/pooled": encoding.pooled}
        return out

    def about(self, batch: dict[str, jax.Array]) -> Encoding:
        """What the decoder makes things from. A `ValueError` where the batch lacks a field for it."""
        found = self._encodings(batch)
        if len(found) < len(self.encoders):
            raise ValueError(f"a batch of {sorted(batch)}: {self.target} is made from {', '.join(self.encoders)}")
        return _beside(found)

    def _encodings(self, batch: dict[str, jax.Array]) -> dict[str, Encoding]:
        out = {}
        for name, encoder in self.encoders.items():
            if name in batch:
                tokens, mask, pooled = encoded(encoder, batch, name)
                here = batch.get(f"{name}/here", jnp.ones(len(pooled), bool))
                out[name] = Encoding(tokens, mask & here[:, None], jnp.where(here[:, None], pooled, 0.0))
        return out


def _beside(found: dict[str, Encoding]) -> Encoding:
    """The tokens of all fields one after another, their pooled vectors side by side."""
    tokens, mask, pooled = zip(*found.values(), strict=True)
    return Encoding(jnp.concatenate(tokens, axis=1), jnp.concatenate(mask, axis=1), jnp.concatenate(pooled, axis=1))
