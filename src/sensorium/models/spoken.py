"""An `AnyToAny` asked to tell, as a `Generator` is: texts about things of one of its fields, out of their vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.core.protocols import Modality, Raw
from sensorium.data.columns import kind_of
from sensorium.decoders import Ends, TellingDecoder
from sensorium.modalities import BadRaw, Text
from sensorium.models.any_to_any import AnyToAny
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

    def __call__(self, things: Sequence[Raw] = ()) -> Teller:
        name = self._read(things[0] if things else None)
        if name not in self._made:
            text = next((field.name for field in self._fields if isinstance(field, Text)), "")
            self._made[name] = Teller(Spoken(self._model, name, text) if name else self._model, self._fields)
        return self._made[name]

    def _read(self, thing: Raw) -> str:
        """The field of an `AnyToAny` that a thing is of: by the suffix of a file (`BadRaw` where it is none), else the first
        one that is no text; "" of a model that reads one thing anyway, or writes no texts."""
        model = self._model
        if not isinstance(model, AnyToAny):
            return ""
        if not any(isinstance(field, Text) and field.name in model.targets for field in self._fields):
            return ""
        kind = kind_of(str(thing)) if isinstance(thing, str | Path) else None
        known = [field for field in self._fields if field.name in model.encoders and not isinstance(field, Text)]
        if kind and kind not in (kinds := [field.kind for field in known]):
            raise BadRaw(f"{thing}: a file of the kind {kind}, where this model tells of {', '.join(kinds) or 'nothing'}")
        return next((field.name for field in known if kind in (None, field.kind)), "")
