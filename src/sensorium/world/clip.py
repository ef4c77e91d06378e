"""Scenes as clips: 16 frames of 64×64 RGB in two seconds, the picture of the scene in motion.

Frame `MIDDLE` is the picture itself (of a circle, the picture moved by its radius).
The picture is painted once, with a margin; each frame is a part of it, so that a clip costs little more than its copy.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, Int, UInt8

from sensorium.world import picture
from sensorium.world.motion import AXES, MOTIONS, REACHES, SECONDS, TURNS, angle, draw, way
from sensorium.world.picture import SIZE
from sensorium.world.scene import Scenes

FRAMES = 16
FPS = FRAMES / SECONDS
MIDDLE = FRAMES // 2
STEP = 6.0
"""Pixels that a straight way goes to either side of the middle, and the radius of a circle."""
ZOOM = 0.2
"""The share by which things grow and shrink about their picture."""
MARGIN = 12


def render(scenes: Scenes) -> UInt8[np.ndarray, "B 16 64 64 3"]:
    """One clip a scene, `FPS` frames a second."""
    motions = draw(scenes)
    out = np.empty((len(scenes), FRAMES, SIZE, SIZE, 3), np.uint8)
    painted = picture.paint(scenes, MARGIN)
    for b, canvas in enumerate(painted):
        kind, reach, turn = int(motions.kind[b]), int(motions.reach[b]), int(motions.turn[b])
        moves, scales = offsets(kind, reach, turn), zooms(kind, reach)
        for t in range(FRAMES):
            if scales[t] == 1:
                y, x = MARGIN - moves[t]
                out[b, t] = canvas[y : y + SIZE, x : x + SIZE]
            else:
                out[b, t] = _zoomed(canvas, float(scales[t]))
    return out


@cache
def offsets(kind: int, reach: int, turn: int) -> Int[np.ndarray, "16 2"]:
    """(down, right) in pixels of each frame beside the picture of the scene."""
    tau, far = _taus(), STEP * REACHES[reach]
    if MOTIONS[kind] == "circle":
        a = angle(tau, turn)
        return np.rint(far * np.stack([-np.sin(a), np.cos(a)], axis=-1)).astype(np.int64)
    right, up, _ = AXES.get(MOTIONS[kind], (0, 0, 0))
    return np.rint(far * way(tau)[:, None] * np.array([-up, right])).astype(np.int64)


@cache
def zooms(kind: int, reach: int) -> Float[np.ndarray, " 16"]:
    """How many times as large as in the picture of the scene each frame shows it."""
    towards = AXES.get(MOTIONS[kind], (0, 0, 0))[2]
    return 1 + ZOOM * REACHES[reach] * towards * way(_taus())


def _taus() -> Float[np.ndarray, " 16"]:
    return np.arange(FRAMES) / FRAMES


def _zoomed(canvas: np.ndarray, scale: float) -> np.ndarray:
    """The middle of a canvas, `scale` times as large: lines between neighbours, along one axis and then the other."""
    low, weight = _taps(scale)
    rows = canvas[low] + (canvas[low + 1].astype(np.float32) - canvas[low]) * weight[:, None, None]
    out = rows[:, low]
    out += (rows[:, low + 1] - out) * weight[:, None] + 0.5
    return out.astype(np.uint8)


@cache
def _taps(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of an axis the one of the canvas before it, and how far it is on the way to the next."""
    middle = (SIZE - 1) / 2
    at = (np.arange(SIZE) - middle) / scale + middle + MARGIN
    low = np.floor(at).astype(np.int64)
    return low, (at - low).astype(np.float32)


PATHS = tuple(
    (kind, reach, turn)
    for kind, name in enumerate(MOTIONS)
    for reach in (range(len(REACHES)) if name != "still" else (0,))
    for turn in (range(TURNS) if name == "circle" else (0,))
)
"""Every (kind, reach, turn) that looks unlike the others."""
