"""Videos in which nothing moves, or nothing is to be seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensorium.data.health import Seen
from sensorium.doctor.finding import Finding, found

STILL, STILLEST = 8.0, 0.5
"""Levels of the largest and the mean difference of all frames from the first: lossy codecs move a still picture by so much;
a thing of a hundredth of the picture that moves changes single pixels by more than 20."""
BLANK = 3


@dataclass(frozen=True)
class Clip:
    """What is kept of a video."""

    path: str
    frames: int
    still: bool
    blank: bool


def measure(seen: Seen) -> Clip:
    """Of the frames that were chosen of a decoded video."""
    name = seen.field.name
    x = seen.arrays[name][seen.arrays[f"{name}/mask"]].astype(np.int16)
    away = np.abs(x - x[:1])
    low, high = x.min((0, 1, 2)), x.max((0, 1, 2))
    return Clip(
        path=str(seen.raw),
        frames=len(x),
        still=len(x) > 1 and float(away.max()) <= STILL and float(away.mean()) <= STILLEST,
        blank=bool((high - low <= BLANK).all()),
    )


def findings(clips: Sequence[Clip]) -> list[Finding]:
    """What is told of single videos."""
    out = []
    for c in clips:
        if c.blank:
            out.append(found("blank video", [c.path], "all that is seen of it is one colour"))
        elif c.still:
            out.append(found("frozen video", [c.path], f"the {c.frames} frames that were looked at are equal"))
        elif c.frames == 1:
            out.append(found("single frame", [c.path], "there is one frame in it"))
    return out
