"""Sounds of the built-in world played by what is said of them."""

from typing import Any

from sensorium.core.trainer import Trainer
from sensorium.modalities import Audio
from sensorium.recipes.makers import denoiser, making
from sensorium.training import Experiment
from sensorium.world.scene import MOST

WINDOW, HOP, PATCH = 500, 125, 8
"""Of the spectra, in samples at 16 kHz, and of the patches in hops: 31, 8 and 62 ms."""
DRAWN = {"steps": 10, "guidance": 1.5}
"""How sounds are drawn. Without guidance large things come out too soft; with much of it shapes are mistaken for others."""
SCENES = 500
"""How many are measured on."""


def sounds(
    *,
    steps: int = 800,
    batch: int = 32,
    lr: float = 2e-3,
    most: int = MOST,
    width: int = 128,
    depth: int = 2,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to play scenes of the built-in world from what is said of them.

    Args:
        steps: Updates of the parameters.
        batch: Scenes a step.
        lr: The highest learning rate.
        most: Of how many objects the scenes are, at most.
        width: Of the network.
        depth: Its layers.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    played = Audio()
    return making("sounds", arguments, played, player(played, width, depth), trainer, measured=SCENES)


def player(played: Audio, width: int = 128, depth: int = 2) -> dict[str, Any]:
    """The arguments of a `Denoiser` of sounds, but for the widths of what it is told."""
    form = {"form": "spectrum", "window": WINDOW, "hop": HOP}
    return denoiser(form, [played.samples // HOP], WINDOW // 2 + 1, [PATCH], width, depth) | {"drawn": DRAWN}
