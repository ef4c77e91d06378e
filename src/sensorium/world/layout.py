"""What sentences leave open of pictures and clips, in words: where exactly a thing is, its turn and scale, and which way it goes.

So a planner can choose all of it, and what is made of a plan need not be the blurred mean of all that it could have meant.
(Numbers as words of a prompt: Pix2Seq, Chen et al. 2021, section 3.1; ReCo, Yang et al. 2022.)
"""

import numpy as np

from sensorium.world import picture
from sensorium.world.motion import MOTIONS, REACHES, Motions
from sensorium.world.scene import Scenes

DOWN = ("up2", "up1", "up0", "down1", "down2")
"""By how many pixels a thing is above or below the middle of its place, from −`picture.JITTER` on."""
RIGHT = ("left2", "left1", "left0", "right1", "right2")
TURNED = tuple(f"{'ccw' if turn < 0 else 'cw'}{abs(round(np.rad2deg(turn)))}" for turn in picture.TURNS)
"""Its turn in degrees, against the clock or with it."""
SCALED = tuple(f"scale{round(100 * scale)}" for scale in picture.SCALES)
"""Its size in hundredths of what is usual."""
REACHED = tuple(f"reach{round(100 * reach)}" for reach in REACHES)
"""How far things go, in hundredths of what is usual."""
ROUND = tuple(f"from {side} {way}" for way in ("ccw", "cw") for side in ("right", "top", "left", "bottom"))
"""Where a way round begins, and which way it goes, by its number (see `motion.angle`)."""
WORDS = (*DOWN, *RIGHT, *TURNED, *SCALED, *REACHED, "from", "ccw", "cw")
"""The words beyond those of captions."""


def most_words(things: int, moves: bool) -> int:
    """Of a layout of so many things: 13 of each, "and" between them, and how everything moves."""
    return 13 * things + things - 1 + 8 * moves


def details(scenes: Scenes) -> list[list[tuple[str, str]]]:
    """Of each object of each scene what is to be said after its place, and what after its shape."""
    turn, scale, down, right = (column.tolist() for column in picture.strays(scenes))
    rows = zip(turn, scale, down, right, scenes.count.tolist(), strict=True)
    return [
        [
            (f"{DOWN[y + picture.JITTER]} {RIGHT[x + picture.JITTER]}", f"{TURNED[t]} {SCALED[s]}")
            for t, s, y, x in zip(*own, strict=True)
        ][:n]
        for *own, n in rows
    ]


def ways(motions: Motions) -> list[str]:
    """Of each motion what is to be said after its name: nothing where everything stands still."""
    said = []
    for kind, reach, turn in zip(motions.kind, motions.reach, motions.turn, strict=True):
        name = MOTIONS[kind]
        said.append("" if name == "still" else f" {REACHED[reach]}" + (f" {ROUND[turn]}" if name == "circle" else ""))
    return said
