"""Clips of the built-in world made by what is said of them: what is there, and how it moves."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from sensorium.core.trainer import Trainer
from sensorium.modalities import Video
from sensorium.recipes.makers import DRAWN, FORMED, PAINTED, SKETCHED, denoiser, layouts, making, slots
from sensorium.training import Experiment
from sensorium.world import clip, motion
from sensorium.world.caption import weights

MOVING = weights(moving_list=1)
"""Sentences that say where things are and how they move."""
OPEN = weights(relation=0.5, motion=1, loose=1, moving_loose=2)
"""Those that leave something open, two in three of which say how things move."""
PROMPTS = weights(list=0.5, relation=0.5, motion=1, moving_list=1, loose=1, moving_loose=2)
"""What people say of clips: two in three say how things move."""
PLANS = weights(moving_layout=1)
"""And the plans that are made of it."""
FRAMES, SIDE = 8, 32
"""Of what is made: every second frame, at half the size."""
MOVES = ceil(clip.STEP * max(motion.REACHES) * SIDE / clip.SIZE)
"""Pixels of what is made that things go to either side, at most."""


def clips(
    *,
    steps: int = 800,
    batch: int = 64,
    lr: float = 2e-3,
    most: int = 2,
    width: int = 192,
    depth: int = 2,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to make clips of the built-in world from what is said of them.

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
    moving = Video(size=64, frames=clip.FRAMES, seconds=motion.SECONDS)
    return making(
        "clips",
        arguments,
        moving,
        mover(moving, width, depth, slots([SIDE] * 2, most, moves=MOVES)) | {"drawn": DRAWN},
        trainer,
        outline=1.0,
        told=layouts(most, moves=True),
        prompts=PROMPTS,
        plans=PLANS,
        whole=MOVING,
        asked_in=OPEN,
        gap=("motion",),
    )


def mover(moving: Video, width: int = 192, depth: int = 2, sketch: Mapping[str, Any] = FORMED) -> dict[str, Any]:
    """The arguments of a `Denoiser` of clips, but for the widths of what it is told."""
    form = {"form": "pixels", "every": [1, moving.size // SIDE, moving.size // SIDE], "frames": moving.frames // FRAMES}
    patch = [FRAMES, SIDE // 4, SIDE // 4]
    return denoiser(form, [FRAMES, SIDE, SIDE], 3, patch, width, depth, sketch, apart=True) | PAINTED | SKETCHED
