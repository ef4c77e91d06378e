"""Making: pictures, sounds, clips and words of things that are told or shown, by a `Maker` or an `AnyToAny`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sensorium.core.batch import Batch, pad
from sensorium.core.encoding import Encoding
from sensorium.core.errors import SensoriumError, nearest
from sensorium.core.protocols import Modality, Raw
from sensorium.data.ready import cuts, prepared, read
from sensorium.decoders import Denoiser, Drawing, Prompted, Sampling, TellingDecoder, write
from sensorium.diffusion.samplers import evaluations
from sensorium.modalities import BadRaw, Text
from sensorium.models.any_to_any import AnyToAny
from sensorium.models.maker import Maker
from sensorium.nn.norms import unit
from sensorium.nn.sizes import whole

Leaves = list[jax.Array]
Progress = Callable[[int, int], None]
"""(evaluations of the network that were made, those there are)."""


class NoDecoder(SensoriumError, ValueError):
    """A model is asked for what it has no decoder for."""


class Making:
    """A model that makes things, compiled. It computes with the parameters that each call gives it, as `jax.tree.leaves` of the
    model's state. `NoDecoder` where the model makes nothing."""

    def __init__(self, model: Any, fields: Sequence[Modality]):
        if not isinstance(model, Maker | AnyToAny):
            told = ", ".join(field.name for field in fields)
            raise NoDecoder(f"this model of {told} makes nothing, it has no decoder: train one (recipes pictures, sounds, clips)")
        self.model, self._fields = model, {field.name: field for field in fields}
        self._ticker = _Ticker()
        graph, state = nnx.split(model)
        tree = jax.tree.structure(state)

        def about(leaves: Leaves, batch: dict[str, jax.Array]) -> Encoding:
            built = nnx.merge(graph, jax.tree.unflatten(tree, leaves))
            if isinstance(built, Maker):
                return built.about(batch)
            units = {name: built.told(name, x) for key, x in built.space(batch).items() if (name := _unit_of(key))}
            return built.about(unit(sum(units.values(), jnp.zeros((1, 1)))))

        def draw(
            leaves: Leaves, told: Encoding, seed: jax.Array, first: jax.Array, target: str, how: Drawing, tells: bool
        ) -> jax.Array:
            decoder = _decoder(nnx.merge(graph, jax.tree.unflatten(tree, leaves)), target)
            assert isinstance(decoder, Denoiser)
            return decoder.draw(told, _keys(seed, first, len(told.pooled)), how, self._ticker if tells else None)

        def words(leaves: Leaves, told: Encoding, seed: jax.Array, first: jax.Array, target: str, mark: int) -> jax.Array:
            built = nnx.merge(graph, jax.tree.unflatten(tree, leaves))
            decoder = _decoder(built, target)
            assert isinstance(decoder, TellingDecoder) and isinstance(built, AnyToAny)
            prompt = jnp.full((len(told.pooled), 1), mark, jnp.int32)
            keys = _keys(seed, first, len(told.pooled))
            return write(decoder, Prompted(told, prompt), built.ends, DRAWN, keys, decoder.length)[0]

        self._about, self._draw = jax.jit(about), jax.jit(draw, static_argnums=(4, 5, 6))
        self._words = jax.jit(words, static_argnums=(4, 5))

    def target(self, to: str | None) -> Modality:
        """The field that is made: the one of this name, or the only one. `NoDecoder` where there is none."""
        if to is None and len(self.model.targets) > 1:
            raise NoDecoder(f"this model makes {', '.join(self.model.targets)}: say which, by to=")
        name = next(iter(self.model.targets)) if to is None else to
        if name not in self.model.targets:
            raise NoDecoder(
                f"this model has no decoder for {name!r}: it makes {', '.join(self.model.targets)}."
                f"{nearest(name, self.model.targets)}"
            )
        return self._fields[name]

    def told(self, leaves: Leaves, raws: Mapping[str, list[Raw]], target: str) -> Encoding:
        """What is to be made of raw things, by their fields: equally many of each, or one that stands for all."""
        known = list(self.model.encoders)
        if not raws:
            raise BadRaw(f"nothing to make {target} from: give one of {', '.join(known)}")
        if other := [name for name in raws if name not in known]:
            raise BadRaw(f"{target} is made from {', '.join(known)}, not from {other[0]!r}.{nearest(other[0], known)}")
        if isinstance(self.model, Maker) and len(raws) < len(known):
            raise BadRaw(f"{target} is made from {' and '.join(known)}: given {' and '.join(raws)} alone")
        rows = max(map(len, raws.values()))
        if any(len(things) not in (1, rows) for things in raws.values()) or not rows:
            lengths = " and ".join(f"{len(things)} of {name}" for name, things in raws.items())
            raise BadRaw(f"{lengths}: expected as many of each, or one that stands for all")
        batch: Batch = {}
        for name, things in raws.items():
            self._fits(self._fields[name], things)
            batch |= read(prepared(self._fields[name], things * rows if len(things) == 1 else things))
        return jax.tree.map(lambda x: x[:rows], self._padded(leaves, batch, rows))

    def make(
        self,
        leaves: Leaves,
        told: Encoding,
        target: str,
        n: int,
        how: Drawing,
        seed: int,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """`n` things of each row of what is told, one row's after another's: arrays as the field's `show` takes them, or ids.

        Thing i comes from a key of its own, made of `seed` and i: it does not depend on how many are made.
        """
        n, seed = whole("n", n), whole("seed", seed, 0)
        rows = np.repeat(np.arange(len(told.pooled)), n)
        pieces, out = list(cuts(len(rows))), []
        decoder = _decoder(self.model, target)
        steps = evaluations(how.sampler, how.steps) if isinstance(decoder, Denoiser) else 1
        for piece, (start, size) in enumerate(pieces):
            own = rows[start : start + size]
            part = jax.tree.map(lambda x, own=own, size=size: x[np.resize(own, size)], told)
            numbers = np.uint32(seed), np.int32(start)
            if isinstance(decoder, Denoiser):
                self._ticker.set(progress, piece * steps, len(pieces) * steps)
                made = self._draw(leaves, part, *numbers, target, how, progress is not None)
            else:
                field = self._fields[target]
                assert isinstance(field, Text)
                made = self._words(leaves, part, *numbers, target, int(field.prepare("")[target][0]))
            out.append(jax.device_get(made)[: len(own)])
            if progress is not None:
                progress((piece + 1) * steps, len(pieces) * steps)
        return np.concatenate(out)

    def _padded(self, leaves: Leaves, batch: Batch, rows: int) -> Encoding:
        parts = []
        for start, size in cuts(rows):
            part = pad({key: x[start : start + size] for key, x in batch.items()}, size)
            parts.append(self._about(leaves, part))
        return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    def _fits(self, field: Modality, things: Sequence[Raw]) -> None:
        """A `BadRaw` for a text that is empty or longer than the field."""
        if not isinstance(field, Text):
            return
        for text in things:
            if not isinstance(text, str) or not text.strip():
                raise BadRaw(f"{text!r}: an empty {field.name}: say what is to be made")
            tokens, kept = field.measure(text)
            if tokens > kept:
                raise BadRaw(f"{text[:40]!r}: {tokens:g} tokens, where at most {kept:g} are read: make it shorter")


DRAWN = Sampling(temperature=0.0)
"""Words are the likeliest ones."""


class _Ticker:
    """Told of each evaluation by its number, from within the compiled loop, in which it stands for good."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._before = self._whole = 0

    def set(self, progress: Progress | None, before: int, whole: int) -> None:
        self._progress, self._before, self._whole = progress, before, whole

    def __call__(self, number: Any) -> None:
        if self._progress is not None:
            self._progress(self._before + int(number), self._whole)


def _decoder(model: Maker | AnyToAny, target: str) -> Denoiser | TellingDecoder:
    return model.decoder if isinstance(model, Maker) else model.decoders[target]


def _keys(seed: jax.Array, first: jax.Array, rows: int) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), first + jnp.arange(rows))


def _unit_of(key: str) -> str:
    return key.removesuffix("/unit") if key.endswith("/unit") else ""
