"""From any sense to any other through one space: N encoders into it and N decoders out of it give N² directions."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Key

from sensorium.core.encoding import Encoder, Encoding, encoded
from sensorium.core.table import Table
from sensorium.decoders import Denoiser, Ends, TellingDecoder, teacher_forced
from sensorium.encoders import ENCODERS
from sensorium.models.space import Outputs, Space
from sensorium.nn.norms import unit
from sensorium.nn.sizes import whole

SLOW = 0.99
"""How much of the mean of a field's vectors is left after a batch."""


class Prefix(nnx.Module):
    """Vectors f32[B D] of length 1 -> tokens f32[B count D]: each reads the vector by a matrix of its own, and has a learned
    vector by which whoever looks for it finds it. (ClipCap's mapping network, Mokady et al. 2021, section 3.1, of one layer.)
    So what a vector holds all at once, of a red thing to the left and a blue one to the right, is taken apart."""

    def __init__(self, width: int, count: int, *, rngs: nnx.Rngs):
        self.place = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (whole("prefix", count), width)))
        self.read = nnx.Linear(width, count * width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B D"]) -> Float[jax.Array, "B N D"]:
        parts = self.read(x * jnp.sqrt(jnp.float32(x.shape[1])))
        return self.place[...][None] + parts.reshape(len(x), *self.place.shape)


class Planner(nnx.Module):
    """Writes out in full, as a text of the field `target`, what is to be made of a vector; and reads such texts.

    A vector holds a thing only so far, and a grid that is made of it is blurred where it does not. Whoever writes word by word
    has to choose, and chooses what goes together. (In DALL·E 2 a prior stands between the space and the pictures, of vectors
    again, Ramesh et al. 2022, section 2.2.) The `reader` learns from whole texts, so that it and what is made by it owe nothing
    to the space. `ends`: the ids that end and fill a text.
    """

    def __init__(self, target: str, decoder: TellingDecoder, reader: Encoder, ends: Ends):
        self.target, self.decoder, self.reader, self.ends = target, decoder, reader, ends

    def about(self, batch: dict[str, jax.Array]) -> Encoding:
        """What grids are made from."""
        return Encoding(*encoded(self.reader, batch, self.target))


class AnyToAny(nnx.Module):
    """Batch -> `"<field>/unit"` of the space; and with a key (in training), for every target that has a decoder and that the
    batch holds, what its loss reads: of a `Denoiser` `"<target>/said"` and so on (see `Denoise`, `Outline`), of a
    `TellingDecoder` `"<target>/logits"` (see `Captioning`, with `begun`), and `"<target>/known"`: which rows have any source.

    A decoder is told a unit vector of one of the fields of the row, drawn anew each time from those that are there (from
    `sources` alone, where given): so it can be driven by any. The vectors of two fields of one thing lie apart (the modality
    gap, Liang et al. 2022): from each the mean of its field is taken, which is followed in training. And `noise` is added, whose
    length beside the vector's 1 it is, so that what lies near a vector is drawn like it (Zhou et al. 2022, LAFITE).
    The space is meant to be frozen: leave `space.*` out of what trains. `end` and `pad`: the ids that end and fill a text.

    `taught`: for a text that is made, the field whose texts its decoder learns to write, where that is another one than what the
    space reads: `"<taught>/logits"` and `"<taught>/known"` are given then. So what is written can be easier to learn (in an order
    that a vector does not have to hold), and what is read stays what people say.
    `prefix`: decoders look at so many tokens that are made of the vector, and not at it alone (see `Prefix`).
    `planner`: every `Denoiser` is told a plan and no vector. In training it is the one of the batch, so that `"<target>/known"`
    says where that is there; and `"<plan>/logits"` and `"<plan>/known"` are given as of any text.
    """

    def __init__(
        self,
        space: Space,
        decoders: Mapping[str, Denoiser | TellingDecoder],
        sources: Sequence[str] = (),
        noise: float = 0.25,
        ends: Ends = Ends(),  # noqa: B008 (frozen)
        planner: Planner | None = None,
        prefix: Prefix | None = None,
        taught: Mapping[str, str] | None = None,
    ):
        if planner is not None and planner.target in {*space.encoders, *decoders}:
            raise ValueError(
                f"a planner that writes {planner.target!r}: expected a field that is neither read nor made otherwise"
            )
        if other := [name for name in sources if name not in space.encoders]:
            raise ValueError(f"sources={list(sources)}: {other[0]!r} is no field of a space of {sorted(space.encoders)}")
        if other := [name for name in taught or () if not isinstance(decoders.get(name), TellingDecoder)]:
            raise ValueError(f"taught={dict(taught or {})}: {other[0]!r} is no text that is made, of {sorted(decoders)}")
        self.space, self.decoders = space, nnx.Dict(dict(decoders))
        self.means = nnx.Dict({name: nnx.BatchStat(jnp.zeros(space.width)) for name in space.encoders})
        self.batches = nnx.BatchStat(jnp.zeros(()))
        self.sources, self.noise, self.ends = tuple(sources) or tuple(space.encoders), noise, ends
        self.planner, self.prefix, self.taught = planner, prefix, dict(taught or {})

    @classmethod
    def build(
        cls,
        space: Mapping[str, Any],
        decoders: Mapping[str, Mapping[str, Any]],
        end: int = 1,
        pad: int = 0,
        planner: Mapping[str, Any] | None = None,
        prefix: int | None = None,
        *,
        rngs: nnx.Rngs,
        **dials: Any,
    ) -> "AnyToAny":
        """What JSON describes: `space` holds the arguments of `Space.build`; `decoders[field]` names "denoiser" or "tokens" and
        holds the arguments of a `Denoiser` or a `TellingDecoder`, but for the widths of what they are told. `planner`: the field
        that it writes as `target`, its `end` and `pad`, its `decoder` and its `reader`, which names an encoder and has its
        arguments; a denoiser says then itself how wide the `tokens` of that are."""
        made = Space.build(**space, rngs=rngs)
        writer = None if planner is None else _planner(**planner, width=made.width, rngs=rngs)
        vector = made.width if writer is None else writer.reader.pooled_width
        out: dict[str, Denoiser | TellingDecoder] = {}
        for name, of in decoders.items():
            rest = {key: value for key, value in of.items() if key != "decoder"}
            out[name] = INWARDS[of["decoder"]](rest, made.width, vector, rngs)
        first = None if prefix is None else Prefix(made.width, prefix, rngs=rngs)
        return cls(made, out, ends=Ends(pad, end), planner=writer, prefix=first, **dials)

    @property
    def encoders(self) -> Mapping[str, Any]:
        return self.space.encoders

    @property
    def width(self) -> int:
        return self.space.width

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields of what it is told."""
        return tuple(self.space.encoders)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(self.decoders)

    def settle(self) -> None:
        """Called after every update."""
        self.space.settle()

    def __call__(self, batch: dict[str, jax.Array], key: Key[jax.Array, ""] | None = None) -> Outputs:
        out = self.space(batch)
        decoders = self._wanted(batch)
        if key is None or not decoders:
            return out
        units = {name: jax.lax.stop_gradient(out[f"{name}/unit"]) for name in self.sources if f"{name}/unit" in out}
        if not units:
            raise ValueError(
                f"a batch of {sorted(batch)}: to learn to make {next(iter(decoders))} takes one of {', '.join(self.sources)}"
            )
        here = {name: batch.get(f"{name}/here", jnp.ones(len(x), bool)) for name, x in units.items()}
        self._follow(units, here)
        for i, (name, decoder) in enumerate(decoders.items()):
            if isinstance(decoder, Denoiser) and self.planner is not None:
                told, plan = self.planner.about(batch), self.planner.target
                known = batch.get(f"{plan}/here", jnp.ones(len(batch[plan]), bool))
            else:
                told, known = self._drawn(units, here, jax.random.fold_in(key, 2 * i))
            field = self._taught(name)
            if isinstance(decoder, Denoiser):
                out |= decoder(batch[field], told, jax.random.fold_in(key, 2 * i + 1)).outputs(field)
            else:
                out[f"{field}/logits"] = teacher_forced(decoder, batch[field], told, batch.get(f"{field}/mask"))
            out[f"{field}/known"] = known
        return out

    def _wanted(self, batch: dict[str, jax.Array]) -> dict[str, Denoiser | TellingDecoder]:
        """The decoders that learn from a batch, by what they make, that of plans among them."""
        planner = self.planner
        found = {name: decoder for name, decoder in self.decoders.items() if self._taught(name) in batch}
        if planner is None:
            return found
        if planner.target in batch:
            return {**found, planner.target: planner.decoder}
        return {name: decoder for name, decoder in found.items() if isinstance(decoder, TellingDecoder)}

    def _taught(self, name: str) -> str:
        """The field of a batch from which the decoder of a field learns."""
        return self.taught.get(name, name)

    def all_outputs(self, batch: dict[str, jax.Array]) -> Outputs:
        """See `Space.all_outputs`."""
        return self.space.all_outputs(batch)

    def told(self, name: str, units: Float[jax.Array, "B D"]) -> Float[jax.Array, "B D"]:
        """What decoders are told of unit vectors of a field: without the mean of the field."""
        return unit(units - self.means[name][...][None])

    def about(self, told: Float[jax.Array, "B D"]) -> Encoding:
        """Of vectors of length 1, sums of what was `told` perhaps: what decoders decode."""
        tokens = told[:, None] if self.prefix is None else self.prefix(told)
        return Encoding(tokens, jnp.ones(tokens.shape[:2], bool), told * jnp.sqrt(jnp.float32(told.shape[1])))

    def _drawn(
        self, units: dict[str, jax.Array], here: dict[str, Bool[jax.Array, " B"]], key: Key[jax.Array, ""]
    ) -> tuple[Encoding, Bool[jax.Array, " B"]]:
        """A vector a row, of one of the fields that are there, with noise; and whether any is there."""
        which, noisy = jax.random.split(key)
        told = jnp.stack([self.told(name, x) for name, x in units.items()], axis=1)
        known = jnp.stack([here[name] for name in units], axis=1)
        chosen = jnp.argmax(jnp.where(known, jax.random.uniform(which, known.shape), -1.0), axis=1)
        vectors = jnp.take_along_axis(told, chosen[:, None, None], axis=1)[:, 0]
        around = self.noise * unit(jax.random.normal(noisy, vectors.shape))
        return self.about(unit(vectors + around)), known.any(axis=1)

    def _follow(self, units: dict[str, jax.Array], here: dict[str, jax.Array]) -> None:
        """The means of the fields, over batches: a plain mean of the first ones, then a slow one."""
        self.batches[...] = self.batches[...] + 1
        keep = jnp.minimum(SLOW, 1 - 1 / self.batches[...])
        for name, x in units.items():
            count = jnp.sum(here[name], dtype=jnp.float32)
            mean = jnp.sum(jnp.where(here[name][:, None], x, 0.0), axis=0) / jnp.maximum(count, 1.0)
            known = self.means[name]
            known[...] = jnp.where(count > 0, keep * known[...] + (1 - keep) * mean, known[...])


def _planner(
    target: str,
    decoder: Mapping[str, Any],
    reader: Mapping[str, Any],
    end: int = 1,
    pad: int = 0,
    *,
    width: int,
    rngs: nnx.Rngs,
) -> Planner:
    writer = TellingDecoder(**decoder, gist_width=width, context_width=width, rngs=rngs)
    rest = {key: value for key, value in reader.items() if key != "encoder"}
    return Planner(target, writer, ENCODERS[reader["encoder"]](**rest, rngs=rngs), Ends(pad, end))


def _denoiser(rest: dict[str, Any], width: int, vector: int, rngs: nnx.Rngs) -> Denoiser | TellingDecoder:
    arguments: dict[str, Any] = {"tokens": width} | rest
    return Denoiser(**arguments, vector=vector, rngs=rngs)


def _telling(rest: dict[str, Any], width: int, vector: int, rngs: nnx.Rngs) -> Denoiser | TellingDecoder:
    return TellingDecoder(**rest, gist_width=width, context_width=width, rngs=rngs)


INWARDS = Table("decoder", {"denoiser": _denoiser, "tokens": _telling})
"""Those that an `AnyToAny` may have, made of their arguments, the width of the space, and that of the vectors denoisers read."""
