"""A shared space over some fields: an encoder for each, a contrastive loss for each pair."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from sensorium.core.objective import Loss
from sensorium.core.protocols import Modality
from sensorium.encoders import ENCODERS
from sensorium.losses import InfoNCE
from sensorium.training import Card


def space(fields: Sequence[Modality], width: int, dials: Mapping[str, Mapping[str, Any]] | None = None) -> Card:
    """The card of a `Space`: for each field its modality's own tower; `dials[tower]` are further arguments of an encoder."""
    encoders = {}
    for field in fields:
        arguments = ENCODERS[field.tower].arguments(field)
        encoders[field.name] = {"encoder": field.tower, **arguments, **(dials or {}).get(field.tower, {})}
    return Card("space", {"encoders": encoders, "width": width})


def pairs(fields: Sequence[Modality]) -> dict[str, tuple[float, Loss]]:
    """InfoNCE between every two fields, all of equal weight."""
    return {f"{a.name}-{b.name}": (1.0, InfoNCE(a.name, b.name)) for a, b in combinations(fields, 2)}
