"""How the things of a scene move, all of them together: drawn from a stream of its own, seen in clips, felt in traces.

Everything happens in `SECONDS`. A straight way starts and ends at rest (Flash and Hogan 1985, minimum jerk), with the
scene as its picture has it in the middle; a circle is gone round once at one speed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sensorium.world.scene import Scenes, choice, uniform

MOTIONS = ("still", "left", "right", "up", "down", "circle", "grow", "shrink")
SECONDS = 2.0
REACHES = (0.8, 1.0, 1.2)
"""How far, beside the usual way."""
TURNS = 8
"""A circle begins in one of four places (right, bottom, left, top) and goes either way round."""
AXES = {"left": (-1, 0, 0), "right": (1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "grow": (0, 0, 1), "shrink": (0, 0, -1)}
"""Directions of the straight ways: to the right, up, and towards whoever looks."""


@dataclass(frozen=True)
class Motions:
    """A motion a scene: which of `MOTIONS`, which of `REACHES`, and which turn of a circle."""

    kind: Int[np.ndarray, " B"]
    reach: Int[np.ndarray, " B"]
    turn: Int[np.ndarray, " B"]


def draw(scenes: Scenes) -> Motions:
    """The motion of each scene; nothing else of the world depends on these numbers."""
    kind, path = uniform(scenes.key, "motion", 1)[:, 0], uniform(scenes.key, "path", 2)
    return Motions(choice(kind, len(MOTIONS)), choice(path[:, 0], len(REACHES)), choice(path[:, 1], TURNS))


def way(tau: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Where a straight way has come to at `tau` in [0, 1] of its time: from −1 to 1."""
    return 2 * (10 * tau**3 - 15 * tau**4 + 6 * tau**5) - 1


def push(tau: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """The second derivative of `way`."""
    return 2 * (60 * tau - 180 * tau**2 + 120 * tau**3)


def angle(tau: Float[np.ndarray, " T"], turn: int) -> Float[np.ndarray, " T"]:
    """The angle on a circle, from the right by way of the top, in radians."""
    return (-1 if turn >= TURNS // 2 else 1) * 2 * np.pi * tau + np.pi / 2 * (turn % (TURNS // 2))
