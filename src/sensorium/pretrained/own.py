"""The configuration of a model of the house: its fields and its card as JSON, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sensorium.core.errors import BadFile, UnknownName, nearest
from sensorium.core.protocols import Modality
from sensorium.modalities import MODALITIES
from sensorium.modalities.film import Film
from sensorium.modalities.picture import Picture
from sensorium.modalities.picture_patches import Patches
from sensorium.modalities.spectrogram import Spectrogram
from sensorium.modalities.transcript import Transcript
from sensorium.training import Card

LIBRARY = "sensorium"
"""What our config.json says, and how our layout is called."""
PUBLISHED: dict[str, type[Modality]] = {"image": Picture, "video": Film}
"""By kind, the fields of published checkpoints: those that say their processing."""
TOLD: dict[str, type[Modality]] = {"generation": Transcript, "front": Spectrogram, "patch": Patches}
"""Others of them, by an argument that these alone have."""


def configuration(card: Card, fields: Sequence[Modality]) -> dict[str, Any]:
    """What `described` reads."""
    said = [{"kind": field.kind, **asdict(field)} for field in fields]  # type: ignore[call-overload]
    model = {"builder": card.builder, "arguments": dict(card.arguments)}
    return json.loads(json.dumps({"library_name": LIBRARY, **model, "fields": said}))


def described(config: Mapping[str, Any], where: str) -> tuple[tuple[Modality, ...], Card]:
    """The fields and the card. `UnknownName` for a modality that is not imported, `BadFile` for all else that is strange."""
    fields = config.get("fields")
    if not isinstance(fields, list) or not all(isinstance(one, dict) and isinstance(one.get("kind"), str) for one in fields):
        raise BadFile(f"{where}: describes no model: expected fields, each an object with its kind, got {fields!r:.100}")
    if own := [field["kind"] for field in fields if field["kind"] not in MODALITIES]:
        raise UnknownName(
            f"{where}: its modality {own[0]!r} is not one of the house.{nearest(own[0], MODALITIES)} If it is your own, import "
            "the file that adds it to sensorium.modalities.MODALITIES first (on the command line: sensorium --use FILE.py …)"
        )
    try:
        return tuple(_field(**field) for field in fields), Card(config["builder"], config["arguments"])
    except (KeyError, TypeError, ValueError) as error:  # a name that is lost, an argument that no field takes
        raise BadFile(f"{where}: describes no model that this version can build: {error}") from error


def _field(kind: str, **said: Any) -> Modality:
    """A field from its JSON."""
    if told := TOLD.keys() & said.keys():
        return TOLD[told.pop()](**said)
    return PUBLISHED[kind](**said) if "processing" in said else MODALITIES[kind](**said)
