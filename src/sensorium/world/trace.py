"""Motion as an accelerometer on the moving thing would feel it: 50 Hz for two seconds, three axes, in m/s², with gravity.

The axes point to the right, up, and towards whoever looks. At rest the device is pushed up with 9.81 m/s².
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from sensorium.world.motion import AXES, MOTIONS, REACHES, SECONDS, TURNS, angle, draw, push
from sensorium.world.scene import Scenes, uniform

RATE = 50.0
SAMPLES = round(RATE * SECONDS)
AXIS_NAMES = ("ax", "ay", "az")
UNIT = "m/s^2"
GRAVITY = 9.81
FAR = 0.5
"""Metres that a straight way goes to either side, before `REACHES`."""
RADIUS = 0.15
"""Metres, of a circle."""
TILT = 0.08
"""Radians by which the device is held askew, at most, about two of its axes."""
NOISE = (0.03, 0.12)
"""m/s², the deviation of the sensor's noise: from, to."""


def render(scenes: Scenes) -> Float[np.ndarray, "B 100 3"]:
    """One trace a scene: the motion that its clip shows."""
    motions = draw(scenes)
    u = uniform(scenes.key, "trace", 4)
    felt = bank()[motions.kind, motions.reach, motions.turn]
    tilt = TILT * (2 * u[:, :2] - 1)
    level = NOISE[0] + (NOISE[1] - NOISE[0]) * u[:, 2]
    hiss = _noise()
    start = (u[:, 3] * (len(hiss) - SAMPLES)).astype(np.int64)
    noise = hiss[start[:, None] + np.arange(SAMPLES)]
    across, along = np.sin(tilt[:, :1]), np.sin(tilt[:, 1:])
    rest = GRAVITY * np.concatenate([across, np.sqrt(1 - across**2 - along**2), along], axis=1)
    return (felt + rest[:, None] + level[:, None, None] * noise).astype(np.float32)


def times() -> Float[np.ndarray, " 100"]:
    """When each reading is made, in seconds."""
    return np.arange(SAMPLES) / RATE


@cache
def bank() -> Float[np.ndarray, "8 3 8 100 3"]:
    """The acceleration of every (kind, reach, turn)."""
    tau = times() / SECONDS
    out = np.zeros((len(MOTIONS), len(REACHES), TURNS, SAMPLES, 3))
    for kind, reach, turn in np.ndindex(*out.shape[:3]):
        if MOTIONS[kind] == "circle":
            a = angle(tau, turn)
            speed = 2 * np.pi / SECONDS
            out[kind, reach, turn, :, :2] = -RADIUS * REACHES[reach] * speed**2 * np.stack([np.cos(a), np.sin(a)], axis=-1)
        else:
            axis = np.array(AXES.get(MOTIONS[kind], (0, 0, 0)))
            out[kind, reach, turn] = FAR * REACHES[reach] / SECONDS**2 * push(tau)[:, None] * axis
    return out


@cache
def _noise() -> Float[np.ndarray, "N 3"]:
    return np.random.Generator(np.random.Philox(11)).standard_normal((1 << 14, 3))
