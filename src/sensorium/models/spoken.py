"""An `AnyToAny` asked to tell, as a `Generator` is: texts about things of one of its fields, out of their vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.core.errors import nearest
from sensorium.core.protocols import Modality, Raw
from sensorium.data.columns import kind_of
from sensorium.decoders import Ends, TellingDecoder
from sensorium.modalities import BadRaw, Text
from sensorium.models.any_to_any import AnyToAny
from sensorium.models.generator import Generator
from sensorium.models.telling import Teller


class Spoken(nnx.Module):
    """An `AnyToAny` as a `Teller` takes a model: it reads `field`, writes `target`, and has the same arrays in the same order."""

    asked, question, start = "", None, None

    def __init__(self, model: AnyToAny, field: str, target: str):
        self.model, self.field, self.target = model, field, target

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.field,)

    @property
    def decoder(self) -> TellingDecoder:
        decoder = self.model.decoders[self.target]
        assert isinstance(decoder, TellingDecoder)
        return decoder

    @property
    def ends(self) -> Ends:
        return self.model.ends

    def context(self, batch: dict[str, jax.Array]) -> Encoding:
        """What the decoder writes about."""
        return self.model.about(self.model.told(self.field, self.model.space(batch)[f"{self.field}/unit"]))


class Tellers:
    """A model's `Teller`, by what is told about: of a `Generator` one and the same, of an `AnyToAny` one for each of its fields.
    `NotAsked` where the model tells of nothing."""

    def __init__(self, model: Any, fields: Sequence[Modality]):
        self._model, self._fields = model, tuple(fields)
        self._made: dict[str, Teller] = {}

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields of an `AnyToAny` that are told about, each alone; () where it writes no texts, and of another model."""
        model = self._model
        if not isinstance(model, AnyToAny) or not any(self._is_text(name) for name in model.targets):
            return ()
        return tuple(field.name for field in self._fields if field.name in model.encoders and not isinstance(field, Text))

    def __call__(self, things: Sequence[Raw] = (), field: str = "") -> Teller:
        name = self._read(things[0] if things else None, field)
        if name not in self._made:
            text = next(filter(self._is_text, self._model.targets)) if name else ""
            self._made[name] = Teller(Spoken(self._model, name, text) if name else self._model, self._fields)
        return self._made[name]

    def _is_text(self, name: str) -> bool:
        return any(isinstance(field, Text) and field.name == name for field in self._fields)

    def _read(self, thing: Raw, asked: str) -> str:
        """The field of an `AnyToAny` that a thing is of: the one that is asked for, that of the suffix of a file (`BadRaw` where
        there is none), else the first one that is no text; "" of a model that reads one thing anyway, or writes no texts."""
        known = [field for field in self._fields if field.name in self.reads]
        names = [field.name for field in known] or (list(self._model.reads) if isinstance(self._model, Generator) else [])
        if asked and names and asked not in names:
            raise BadRaw(f"field={asked!r}: this model tells of {', '.join(names)}.{nearest(asked, names)}")
        if not known or asked:
            return asked if known else ""
        kind = kind_of(str(thing)) if isinstance(thing, str | Path) else None
        if kind and kind not in (kinds := [field.kind for field in known]):
            raise BadRaw(f"{thing}: a file of the kind {kind}, where this model tells of {', '.join(kinds) or 'nothing'}")
        return next((field.name for field in known if kind in (None, field.kind)), "")
