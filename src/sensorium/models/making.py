"""Making: pictures, sounds, clips, traces and words of things that are told or shown, by a `Maker` or an `AnyToAny`."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.batch import Batch, pad
from sensorium.core.encoding import Encoding
from sensorium.core.errors import SensoriumError, nearest
from sensorium.core.protocols import Modality, Raw
from sensorium.data.ready import ROWS, cuts, prepared, read
from sensorium.decoders import Denoiser, Drawing, Prompted, Sampling, TellingDecoder, write
from sensorium.diffusion.samplers import evaluations
from sensorium.modalities import BadRaw, Text, Video
from sensorium.models.any_to_any import AnyToAny
from sensorium.models.generator import Generator
from sensorium.models.maker import Maker
from sensorium.models.mix import LEAST, Mix, parts_of
from sensorium.nn.sizes import seed_of, whole

Leaves = list[jax.Array]
Doing = Callable[[int, int], None]
"""(evaluations of the network that were made, those there are)."""


class NoDecoder(SensoriumError, ValueError):
    """A model is asked for what it has no decoder for."""


class Making:
    """A model that makes things, compiled. It computes with the parameters that each call gives it, as `jax.tree.leaves` of the
    model's state. `NoDecoder` where the model makes nothing."""

    def __init__(self, model: Any, fields: Sequence[Modality]):
        if not isinstance(model, Maker | AnyToAny):
            told = ", ".join(field.name for field in fields)
            if isinstance(model, Generator):
                raise NoDecoder(f"this model of {told} tells of things in words: see {'ask' if model.asked else 'caption'}")
            raise NoDecoder(f"this model of {told} makes nothing, it has no decoder: train one (recipes pictures, sounds, clips)")
        self.model, self._fields = model, {field.name: field for field in fields}
        self._ticker = _Ticker()
        self._programs: set[Hashable] = set()
        graph, state = nnx.split(model)
        tree = jax.tree.structure(state)

        def built(leaves: Leaves) -> Any:
            return nnx.merge(graph, jax.tree.unflatten(tree, leaves))

        def about(leaves: Leaves, batch: dict[str, jax.Array]) -> Encoding:
            model = built(leaves)
            reads_it: Any = model.planner if isinstance(model, AnyToAny) else model
            return reads_it.about(batch)

        def vectors(leaves: Leaves, batch: dict[str, jax.Array]) -> Encoding:
            return built(leaves).about(batch["told"])

        def units(leaves: Leaves, batch: dict[str, jax.Array], name: str) -> jax.Array:
            model = built(leaves)
            return model.told(name, model.space(batch)[f"{name}/unit"])

        def open_(leaves: Leaves, batch: dict[str, jax.Array]) -> Encoding:
            planner = built(leaves).planner
            assert planner is not None
            return planner.context(batch)

        def draw(
            leaves: Leaves,
            told: Encoding,
            seed: jax.Array,
            first: jax.Array,
            dials: tuple[jax.Array, jax.Array],
            target: str,
            how: Drawing,
            tells: bool,
        ) -> jax.Array:
            decoder = _decoder(built(leaves), target)
            assert isinstance(decoder, Denoiser)
            return decoder.draw(told, _keys(seed, first, len(told.pooled)), how, self._ticker if tells else None, dials)

        def words(
            leaves: Leaves, told: Encoding, seed: jax.Array, first: jax.Array, how: Sampling, target: str, mark: int
        ) -> jax.Array:
            model = built(leaves)
            decoder = _decoder(model, target)
            assert isinstance(decoder, TellingDecoder)
            ends = model.planner.ends if target == self.plan else model.ends
            prompt = jnp.full((len(told.pooled), 1), mark, jnp.int32)
            keys = _keys(seed, first, len(told.pooled))
            return write(decoder, Prompted(told, prompt), ends, how, keys, decoder.length)[0]

        self._about, self._open, self._told = jax.jit(about), jax.jit(open_), jax.jit(vectors)
        self._units = jax.jit(units, static_argnames="name")
        self._draw: Any = jax.jit(draw, static_argnums=(5, 6, 7))
        self._words: Any = jax.jit(words, static_argnums=(5, 6))

    def __call__(
        self,
        leaves: Leaves,
        to: str | None,
        raws: Mapping[str, list[Raw]],
        n: int = 1,
        how: Drawing | Sampling | None = None,
        seed: int = 0,
        progress: Doing | None = None,
    ) -> list[Any]:
        """What `shown` gives of `n` things of each prompt, one prompt's after another's."""
        field = self.target(to)
        made = [shown(field, x) for x in self.arrays(leaves, field.name, raws, n, how, seed, progress)]
        return [self._read_back(plan) for plan in made] if field.name == self.plan else made

    def arrays(
        self,
        leaves: Leaves,
        target: str,
        raws: Mapping[str, list[Raw]],
        n: int = 1,
        how: Drawing | Sampling | None = None,
        seed: int = 0,
        progress: Doing | None = None,
    ) -> np.ndarray:
        """The same things as arrays: see `make`."""
        n, seed = whole("n", n), seed_of(seed)
        if (plans := self.planned(leaves, raws, target, n, seed)) is not None:
            raws, n = plans, 1
        return self.make(leaves, self.told(leaves, raws, target), target, n, how, seed, progress)

    @property
    def plan(self) -> str | None:
        """The field that a planner writes, where the model has one: it can be made, and given instead of what that reads."""
        planner = self.model.planner
        return None if planner is None else planner.target

    def plans(self, target: str) -> bool:
        """Whether a field is made by plans: what is drawn is, where there is a planner, and what is written is not."""
        return self.plan is not None and isinstance(_decoder(self.model, target), Denoiser)

    def planned(
        self, leaves: Leaves, raws: Mapping[str, list[Raw]], target: str, n: int = 1, seed: int = 0
    ) -> dict[str, list[Raw]] | None:
        """A plan for each of `n` things of each prompt. None where the target needs none, or what is given is no prompt."""
        if self.plan is None or not raws or not self.plans(target) or not set(raws) <= set(self.model.reads):
            return None
        return {self.plan: self(leaves, self.plan, raws, n, None, seed)}

    def how(self, target: str) -> Drawing | Sampling:
        """How a field is made unless told otherwise: as its decoder says; words are the likeliest ones."""
        decoder = _decoder(self.model, target)
        if isinstance(decoder, Denoiser):
            return decoder.drawn
        if target == self.plan:
            return SEEN if isinstance(self.model, AnyToAny) else PLANNED
        return Sampling(temperature=0.0)

    def target(self, to: str | None) -> Modality:
        """The field that is made: the one of this name, or the only one. `NoDecoder` where there is none."""
        if to is None and len(self.model.targets) > 1:
            raise NoDecoder(f"this model makes {', '.join(self.model.targets)}: say which, by to=")
        name = next(iter(self.model.targets)) if to is None else to
        if name not in self.model.targets and name != self.plan:
            made = [*self.model.targets, *([self.plan] if self.plan else [])]
            raise NoDecoder(f"this model has no decoder for {name!r}: it makes {', '.join(made)}.{nearest(name, made)}")
        return self._fields[name]

    def told(self, leaves: Leaves, raws: Mapping[str, list[Raw]], target: str) -> Encoding:
        """What is to be made of raw things, by their fields: equally many of each, or one that stands for all. Of an `AnyToAny`
        each of them may be a `Mix`; the vectors of all fields are added up."""
        known = [*self.model.reads, *([self.plan] if self.plan and self.plans(target) else [])]
        if not raws:
            raise BadRaw(f"nothing to make {target} from: give one of {', '.join(known)}")
        if other := [name for name in raws if name not in known]:
            raise BadRaw(f"{target} is made from {', '.join(known)}, not from {other[0]!r}.{nearest(other[0], known)}")
        rows = max(map(len, raws.values()))
        if any(len(things) not in (1, rows) for things in raws.values()) or not rows:
            lengths = " and ".join(f"{len(things)} of {name}" for name, things in raws.items())
            raise BadRaw(f"{lengths}: expected as many of each, or one that stands for all")
        for name, things in raws.items():
            self._fits(self._fields[name], [raw for _, raw, _ in parts_of(things)])
        if isinstance(self.model, AnyToAny) and not self.plans(target):
            return self._encoded(self._told, leaves, {"told": self._mixed(leaves, raws, rows)}, rows)
        return self._read(leaves, raws, rows, target)

    def make(
        self,
        leaves: Leaves,
        told: Encoding,
        target: str,
        n: int,
        how: Drawing | Sampling | None = None,
        seed: int = 0,
        progress: Doing | None = None,
    ) -> np.ndarray:
        """`n` things of each row of what is told, one row's after another's: arrays as the field's `show` takes them, or ids.

        Thing i comes from a key of its own, made of `seed` and i: it does not depend on how many are made, but for the rounding
        of batches of other sizes.
        """
        n, seed = whole("n", n), seed_of(seed)
        how = _fitting(self.how(target), target, how, n)
        rows = np.repeat(np.arange(len(told.pooled)), n)
        pieces, out = list(_pieces(len(rows))), []
        steps = evaluations(how.sampler, how.steps) if isinstance(how, Drawing) else 1
        for piece, (start, size) in enumerate(pieces):
            own = rows[start : start + size]
            part = jax.tree.map(lambda x, own=own, size=size: x[np.resize(own, size)], told)
            numbers = np.uint32(seed), np.int32(start)
            if isinstance(how, Drawing):
                self._ticker.set(progress, piece * steps, len(pieces) * steps)
                tells = progress is not None and size * steps >= LONG
                program, dials = how.compiled()
                self._bound((target, program, tells, size))
                made = self._draw(leaves, part, *numbers, tuple(map(np.float32, dials)), target, program, tells)
            else:
                self._bound((target, jax.tree.structure(how), size))
                made = self._words(leaves, part, *numbers, how, target, self._mark(target))
            out.append(jax.device_get(made)[: len(own)])
            if progress is not None:
                jax.effects_barrier()  # what is told comes from another thread: nothing of it is to come later
                progress((piece + 1) * steps, len(pieces) * steps)
        return np.concatenate(out)

    def _bound(self, program: Hashable) -> None:
        """Lets go of all programs where another one would be too many: strangers may ask for each number of steps."""
        if program not in self._programs and len(self._programs) == PROGRAMS:
            self._programs.clear()
            self._draw.clear_cache()
            self._words.clear_cache()
        self._programs.add(program)

    def _read(self, leaves: Leaves, raws: Mapping[str, list[Raw]], rows: int, target: str) -> Encoding:
        """What a `Maker` makes things from: all that it reads. And plans, by which an `AnyToAny` does."""
        known = self.model.reads if target == self.plan else tuple(self.model.encoders)
        if isinstance(self.model, AnyToAny):
            known = (self.plan or "",)
        if self.plan in raws and len(raws) > 1:
            raise BadRaw(f"a plan says by itself all that {target} is made from: given {' and '.join(raws)}")
        if set(raws) != set(known):
            raise BadRaw(f"{target} is made from {' and '.join(known)}: given {' and '.join(raws)}")
        if mixed := [name for name, things in raws.items() if any(isinstance(thing, Mix) for thing in things)]:
            raise BadRaw(f"a Mix of {mixed[0]}: it is read word by word here, and lies in no space in which things can be added")
        batch: Batch = {}
        for name, things in raws.items():
            batch |= read(prepared(self._fields[name], things * rows if len(things) == 1 else things))
        return self._encoded(self._open if target == self.plan else self._about, leaves, batch, rows)

    @staticmethod
    def _encoded(by: Callable[[Leaves, Batch], Encoding], leaves: Leaves, batch: Batch, rows: int) -> Encoding:
        """All rows of a batch, in parts of the sizes that are compiled."""
        parts = [by(leaves, part) for part in _padded(batch, rows)]
        return jax.tree.map(lambda *x: jnp.concatenate(x)[:rows], *parts)

    def _mixed(self, leaves: Leaves, raws: Mapping[str, list[Raw]], rows: int) -> Float[np.ndarray, "B D"]:
        """Of all fields together, and of the parts of each `Mix`, the sum of what is told of them, at length 1."""
        total = np.zeros((rows, self.model.width), np.float32)
        for name, things in raws.items():
            parts = list(parts_of(things))
            batch = read(prepared(self._fields[name], [raw for _, raw, _ in parts]))
            found = [jax.device_get(self._units(leaves, part, name)) for part in _padded(batch, len(parts))]
            vectors = np.concatenate(found)[: len(parts)] * np.array([weight for _, _, weight in parts], np.float32)[:, None]
            added = np.zeros((len(things), self.model.width), np.float32)
            np.add.at(added, [row for row, _, _ in parts], vectors)
            total += np.broadcast_to(added, total.shape)
        length = np.linalg.norm(total, axis=1)
        if np.any(length < LEAST):
            raise BadRaw(f"row {int(np.argmin(length))} of what is told: its parts take each other away, and nothing is left")
        return total / length[:, None]

    def _fits(self, field: Modality, things: Sequence[Raw]) -> None:
        """A `BadRaw` for a text that is longer than the field or, but for a plan, of which a bare ground may come, empty."""
        if not isinstance(field, Text):
            return
        for text in things:
            if not isinstance(text, str):
                raise BadRaw(f"{type(text).__name__} {text!r}: expected a text, for {field.name}")
            if not text.strip() and field.name != self.plan:
                raise BadRaw(f"{text!r}: an empty {field.name}: say what is to be made")
            tokens, kept = field.measure(text)
            if tokens > kept:
                raise BadRaw(f"{text[:40]!r}: {tokens:g} tokens, where at most {kept:g} are read: make it shorter")

    def _read_back(self, plan: str) -> str:
        """The words of a plan that the field of plans has room for: what was spelt may take more of it than it was written in."""
        field, words = self._fields[self.plan or ""], plan.split()
        assert isinstance(field, Text)
        while words and (size := field.measure(" ".join(words)))[0] > size[1]:
            words.pop()
        return " ".join(words)

    def _mark(self, target: str) -> int:
        """What begins a text."""
        return int(self._fields[target].prepare("")[target][0])


def shown(field: Modality, x: np.ndarray) -> Any:
    """An array of a field as a person has it, and as the field's `prepare` takes it: of a clip (frames u8[T H W 3], their number
    a second), of anything else what `field.show` gives. A clip of fewer frames than the field has takes as long."""
    if isinstance(field, Video):
        return x, field.fps * len(x) / field.frames
    return field.show(x)


LONG = 500
"""Evaluations times rows from which on each one is told of, and not their end alone: a program that tells is compiled anew by
every process, as JAX keeps none that calls back, and that would take longer than a short drawing."""
PLANNED = Sampling(temperature=0.5)
"""How plans are drawn: they differ in what a prompt leaves open, and hold what it says more often than at a temperature of 1."""
SEEN = Sampling(temperature=0.35)
"""And how those of vectors are, of which they are less sure: of 500 sounds 0.41 are planned all right, and 0.36 at 0.5. At 0.2 it
is 0.43, but 55 of 64 plans of "a green star" have it in one place, where 39 have here and 34 at 0.5 (docs/log.md)."""
PROGRAMS = 32
"""Compiled programs that are held at once, of some 20 MB each."""


class _Ticker:
    """Told of each evaluation by its number, from within the compiled loop, in which it stands for good."""

    def __init__(self) -> None:
        self._progress: Doing | None = None
        self._before = self._whole = 0

    def set(self, progress: Doing | None, before: int, whole: int) -> None:
        self._progress, self._before, self._whole = progress, before, whole

    def __call__(self, number: Any) -> None:
        if self._progress is not None:
            self._progress(self._before + int(number), self._whole)


def _fitting(usual: Drawing | Sampling, target: str, how: Drawing | Sampling | None, n: int) -> Drawing | Sampling:
    """How it is done: as is usual, or in another way of the same kind; a `BadRaw` where that is another kind."""
    draws, found = isinstance(usual, Drawing), how or usual
    if isinstance(found, Drawing) != draws:
        expected = "out of noise, by a Drawing" if draws else "word by word, by a Sampling"
        raise BadRaw(f"how={found}: {target} is made {expected}")
    if isinstance(found, Sampling) and found.temperature == 0 and n > 1:
        raise BadRaw(f"n={n}: one text is the likeliest. Give a temperature, how=Sampling(temperature=1.0), to draw them")
    return found


def _decoder(model: Maker | AnyToAny, target: str) -> Any:
    """A `Denoiser` or a `TellingDecoder`."""
    if model.planner is not None and target == model.planner.target:
        return model.planner.decoder
    return model.decoders[target] if isinstance(model, AnyToAny) else model.decoder


def _keys(seed: jax.Array, first: jax.Array, rows: int) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), first + jnp.arange(rows))


def _padded(batch: Batch, rows: int) -> Iterator[Batch]:
    """A batch in parts of the sizes that are compiled, the last one filled up."""
    for start, size in cuts(rows):
        yield pad({key: x[start : start + size] for key, x in batch.items()}, size)


def _pieces(n: int) -> Iterator[tuple[int, int]]:
    """(start, size of batch) of the pieces of `n` things: of one size, so that one program is compiled, the largest one by which
    no more than half of the rows are thrown away; each is many evaluations of a network."""
    size = next(rows for rows in ROWS[::-1] if -(-n // rows) * rows <= 2 * n)
    yield from ((start, size) for start in range(0, n, size))
