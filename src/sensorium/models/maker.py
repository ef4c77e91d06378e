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
from sensorium.models.generator import Generator
from sensorium.models.space import Outputs
from sensorium.nn.norms import unit
from sensorium.nn.sizes import whole


class Maker(nnx.Module):
    """Batch -> `"<field>/unit"` f32[B P], the pooled vector of every encoder; and with a key (in training), where the batch
    holds the target and all that it is made from, `"<target>/said"`, `"<target>/wanted"` and `"<target>/weight"` for the loss
    `Denoise`.

    The decoder looks at the tokens of all encoders, one after another, and reads their pooled vectors, side by side. A field
    that a row lacks has no tokens, and zeros in its place.

    `planner`: writes out in full what is to be made, as the text that an encoder reads, of a text that leaves things open: where
    "a circle above a square" is to be, and how large. So the decoder never has to choose, which one that is taught means does
    badly. (DALL·E 3 has prompts written out so, Betker et al. 2023, section 3; in DALL·E 2 a prior stands there, Ramesh et al.
    2022.) In training `"<plan>/logits"` as a `Generator` gives them, for the loss `Captioning`: of every `stride`-th row, as it
    learns from far fewer than the decoder does, with `"<plan>/known"` where they are.
    """

    def __init__(
        self, encoders: Mapping[str, Encoder], decoder: Denoiser, target: str, planner: Generator | None = None, stride: int = 1
    ):
        if target in encoders or not encoders:
            raise ValueError(f"encoders of {', '.join(encoders) or 'nothing'} for {target!r}: expected one or more, not of it")
        if planner is not None and (set(encoders) != {planner.target} or target in planner.reads):
            raise ValueError(
                f"a planner that writes {planner.target} of {', '.join(planner.reads)}, where {target} is made from "
                f"{', '.join(encoders)}: expected one that writes what {target} is made from, and nothing else beside it"
            )
        self.planner, self.stride = planner, whole("stride", stride)
        self.encoders, self.decoder, self.target = nnx.Dict(dict(encoders)), decoder, target
        self.width = sum(encoder.pooled_width for encoder in encoders.values())

    @classmethod
    def build(
        cls,
        encoders: Mapping[str, Mapping[str, Any]],
        decoder: Mapping[str, Any],
        target: str,
        planner: Mapping[str, Any] | None = None,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
    ) -> "Maker":
        """What JSON describes: `encoders[field]` names an encoder of `ENCODERS` and holds its arguments, `decoder` holds those of
        a `Denoiser`, `planner` those of `Generator.build`."""
        made = {}
        for name, arguments in encoders.items():
            rest = {key: value for key, value in arguments.items() if key != "encoder"}
            made[name] = ENCODERS[arguments["encoder"]](**rest, rngs=rngs)
        width = sum(encoder.pooled_width for encoder in made.values())
        writer = None if planner is None else Generator.build(**planner, rngs=rngs)
        return cls(made, Denoiser(**decoder, vector=width, rngs=rngs), target, writer, stride)

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields of what it is told: where there is a planner, what that reads."""
        return tuple(self.encoders) if self.planner is None else self.planner.reads

    def settle(self) -> None:
        """Called after every update: there is nothing to hold within bounds."""

    def __call__(self, batch: dict[str, jax.Array], key: Key[jax.Array, ""] | None = None) -> Outputs:
        found = self._encodings(batch)
        out = {f"{name}/unit": unit(encoding.pooled.astype(jnp.float32)) for name, encoding in found.items()}
        if key is not None and self.target in batch and len(found) == len(self.encoders):
            out |= self.decoder(batch[self.target], _beside(found), key).outputs(self.target)
        if key is not None and self.planner is not None:
            out |= self._planned(batch, self.planner)
        return out

    def _planned(self, batch: dict[str, jax.Array], planner: Generator) -> Outputs:
        """The logits of the planner, zeros but for every `stride`-th row, and which rows these are."""
        name = f"{planner.target}/logits"
        said = planner({key: x[:: self.stride] for key, x in batch.items()}).get(name)
        if said is None:
            return {}
        rows = len(batch[planner.target])
        spread = jnp.zeros((rows, *said.shape[1:]), said.dtype).at[:: self.stride].set(said)
        return {name: spread, f"{planner.target}/known": jnp.arange(rows) % self.stride == 0}

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
