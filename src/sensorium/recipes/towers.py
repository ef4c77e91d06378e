"""A shared space over some fields: an encoder for each, a contrastive loss for each pair."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from sensorium.core.objective import Loss
from sensorium.core.protocols import Modality
from sensorium.core.table import Table
from sensorium.encoders import ENCODERS
from sensorium.losses import InfoNCE, Sigmoid, Triplet
from sensorium.training import Card

CONTRASTS = Table("contrast", {"infonce": InfoNCE, "sigmoid": Sigmoid, "triplet": Triplet})
STARTS = {"sigmoid": {"temperature": 0.1, "bias": -10.0}}  # Zhai et al. 2023, §3.2; the others start as CLIP does


def space(
    fields: Sequence[Modality],
    width: int,
    dials: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    contrast: str = "infonce",
    own_scales: bool = False,
) -> Card:
    """The card of a `Space`: for each field its modality's own tower; `dials[tower]` are further arguments of an encoder.

    It starts at the temperature and bias of the `contrast`, one of `CONTRASTS`. `own_scales`: each pair of fields learns its own.
    """
    encoders = {}
    for field in fields:
        arguments = ENCODERS[field.tower].arguments(field)
        encoders[field.name] = {"encoder": field.tower, **arguments, **(dials or {}).get(field.tower, {})}
    _ = CONTRASTS[contrast]
    own = {"own_scales": [[a.name, b.name] for a, b in combinations(fields, 2)]} if own_scales else {}
    return Card("space", {"encoders": encoders, "width": width, **STARTS.get(contrast, {}), **own})


def pairs(fields: Sequence[Modality], contrast: str = "infonce") -> dict[str, tuple[float, Loss]]:
    """A contrast, one of `CONTRASTS`, between every two fields, all of equal weight."""
    kind = CONTRASTS[contrast]
    return {f"{a.name}-{b.name}": (1.0, kind(a.name, b.name)) for a, b in combinations(fields, 2)}
