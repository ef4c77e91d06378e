"""Losses that are told over which axes of a mesh their rows are sharded."""

from collections.abc import Mapping
from dataclasses import replace

from sensorium.core.objective import Loss
from sensorium.losses.infonce import InfoNCE
from sensorium.losses.matryoshka import Matryoshka
from sensorium.losses.reduce import Weight
from sensorium.losses.sharded import Axis
from sensorium.losses.sigmoid import Sigmoid
from sensorium.losses.weighted import Weighted


def on_mesh(losses: Mapping[str, tuple[Weight, Loss]], axis: Axis) -> dict[str, tuple[Weight, Loss]]:
    """The same losses, contrasts (and those within others) going round the ring of the devices of `axis`.

    What is no contrast stays as it is: it is computed row by row where the rows are, or left to XLA's partitioner.
    """
    return {name: (weight, _told(loss, axis)) for name, (weight, loss) in losses.items()}


def _told(loss: Loss, axis: Axis) -> Loss:
    if isinstance(loss, InfoNCE | Sigmoid):
        return replace(loss, axis=axis, tiled=None)
    if isinstance(loss, Weighted | Matryoshka):
        return replace(loss, loss=_told(loss.loss, axis))
    return loss
