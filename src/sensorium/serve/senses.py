"""From a stranger's files to unit vectors: decoded by a few threads, then read by the model, all that waits together."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sensorium.core.batch import Batch, stack
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Modality, Raw
from sensorium.data.ready import ROWS, cuts
from sensorium.search.late import Prepared, Tokens, read, whole
from sensorium.serve.apart import Decoder, Part, told
from sensorium.serve.bounds import Bounds
from sensorium.serve.desk import Desk
from sensorium.serve.meters import Meters
from sensorium.serve.moments import Moment

DECODERS = 2
"""Files that are decoded at once, each by a process of its own, which may take the memory that `core.limits` allows."""
MOST_TEXT = 4000
"""Characters of a text; models read far less of it."""


@runtime_checkable
class Reader(Protocol):
    """What is needed of a `Sensorium`: its fields, who it is, and unit vectors of texts and of prepared arrays."""

    @property
    def fields(self) -> tuple[Modality, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    def encode(self, **raws: Raw) -> dict[str, Float[np.ndarray, "N D"]]: ...

    def units(self, batch: Batch, rows: int) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Thing:
    """A raw thing for a field: a text, the bytes of a file that somebody sent, or a file of the collection's own; of a long one
    the part that begins at the second `start`."""

    field: Modality
    raw: str | bytes | Path
    start: float | None = None


class _Work(NamedTuple):
    """A text or arrays for the model, and whether it is to say its tokens, and not the whole."""

    field: str
    ready: str | Prepared
    tokens: bool


class Senses:
    """A model that reads for many at once. `fields`: those of which it has vectors, by name; `cut`: what the collection keeps of
    them, where that is not all."""

    def __init__(self, model: Reader, bounds: Bounds, meters: Meters, cut: Callable[[str, np.ndarray], np.ndarray] | None = None):
        self.model, self._cut = model, cut
        self.fields = {field.name: field for field in model.fields if _has_vectors(model, field.name)}
        line = {"waiting": bounds.waiting, "seconds": bounds.seconds}
        self._decoders = [Decoder() for _ in range(DECODERS)]
        self._free: SimpleQueue[Decoder] = SimpleQueue()
        for decoder in self._decoders:
            self._free.put(decoder)
        self._decoding = Desk(self._prepared, threads=DECODERS, told=lambda n: meters.batch("decode", n), **line)
        self._encoding = Desk(self._worked, batch=ROWS[-1], told=lambda n: meters.batch("encode", n), **line)
        meters.watch("decode_waiting", "Files that wait to be decoded.", lambda: self._decoding.waiting)
        meters.watch("encode_waiting", "Things that wait for the model.", lambda: self._encoding.waiting)

    def field(self, called: str) -> Modality:
        """The field of a name, else the first of a kind; `UnknownName` where there is neither."""
        return field_of(tuple(self.fields.values()), called)

    async def vectors(self, things: Sequence[Thing]) -> list[Float[np.ndarray, " D"]]:
        """A unit vector for each thing. `BadFile` or `BadRaw` where one is not what its field takes, `Refused` where too many
        wait."""
        return list(await asyncio.gather(*(self._read(thing, False) for thing in things)))

    async def tokens(self, things: Sequence[Thing]) -> list[Tokens]:
        """The same for the tokens of each thing; `NoTokens` where they lie in no shared space."""
        return list(await asyncio.gather(*(self._read(thing, True) for thing in things)))

    async def check(self, thing: Thing) -> None:
        """Decodes a thing and throws the arrays away, so that what is broken is told before somebody waits for a model."""
        if not isinstance(thing.raw, str):
            await self._decoding.ask(thing)

    def decode(self, field: Modality | Part | Moment, raw: Raw) -> dict[str, np.ndarray]:
        """What `field.prepare(raw)` gives, in the next process that is free to decode; errors as of `Decoder.prepare`."""
        decoder = self._free.get()
        try:
            return decoder.prepare(field, raw)
        finally:
            self._free.put(decoder)

    def start(self) -> None:
        """Starts what the first files need."""
        for decoder in self._decoders:
            decoder.start()

    def close(self) -> None:
        for part in (self._decoding, self._encoding, *self._decoders):
            part.close()

    async def _read(self, thing: Thing, tokens: bool) -> Any:
        ready = thing.raw if isinstance(thing.raw, str) else await self._decoding.ask(thing)
        return await self._encoding.ask(_Work(thing.field.name, ready, tokens))

    def _prepared(self, things: list[Thing]) -> list[Any]:
        """The arrays of each thing, or the reason why there are none."""
        out: list[Any] = []
        for thing in things:
            try:
                # A user's own modality may lie in a file that no other process finds.
                own = not type(thing.field).__module__.startswith("sensorium.")
                field = thing.field if thing.start is None else Part(thing.field, thing.start)
                out.append(told(field, thing.raw) if own else self.decode(field, thing.raw))
            except Exception as error:
                out.append(error)
        return out

    def _worked(self, works: list[_Work]) -> list[Any]:
        """The vectors or the tokens, one call of the model for the texts and one for the arrays of each field."""
        out: list[Any] = [None] * len(works)
        groups: dict[tuple[str, bool, bool], list[int]] = {}
        for i, work in enumerate(works):
            groups.setdefault((work.field, work.tokens, isinstance(work.ready, str)), []).append(i)
        for (name, tokens, texts), rows in groups.items():
            own: list[Any] = [works[i].ready for i in rows]
            try:
                if tokens:
                    made = [self.fields[name].prepare(text) for text in own] if texts else own
                    found: Any = read(whole(self.model), name, made)
                else:
                    found = self.model.encode(**{name: own})[name] if texts else self._units(name, own)
                    found = found if self._cut is None else self._cut(name, found)
            except Exception as error:  # of this group alone
                found = [error] * len(rows)
            for i, vector in zip(rows, found, strict=True):
                out[i] = vector
        return out

    def _units(self, name: str, ready: list[dict[str, np.ndarray]]) -> Float[np.ndarray, "N D"]:
        parts = []
        for start, size in cuts(len(ready)):
            part = ready[start : start + size]
            parts.append(self.model.units(stack(part), size)[f"{name}/unit"][: len(part)])
        return np.concatenate(parts)


def field_of(fields: Sequence[Modality], called: str) -> Modality:
    """The field of a name, else the first of a kind; `UnknownName` where there is neither."""
    for field in fields:
        if field.name == called:
            return field
    for field in fields:
        if field.kind == called:
            return field
    raise UnknownName(f"the model has no field {called[:80]!r}.{nearest(called[:80], [field.name for field in fields])}")


def _has_vectors(model: Reader, name: str) -> bool:
    try:
        model.encode(**{name: []})
    except UnknownName:
        return False
    return True
