"""How much is read of a file from a stranger: settings with safe defaults, the same in every worker process.

`SENSORIUM_LIMITS="pixels=2e8 seconds=60"` in the environment changes some of them.
"""

import os
from dataclasses import dataclass, fields, replace
from functools import cache

from sensorium.core.errors import SensoriumError, nearest

VARIABLE = "SENSORIUM_LIMITS"


class BadLimit(SensoriumError, ValueError):
    """A limit that is none, or that there is not."""


@dataclass(frozen=True)
class Limits:
    """What is beyond any of them is refused, before memory is taken for it."""

    pixels: int = 50_000_000
    """Of an RGB picture. Kinds of pictures that take more memory have a lower limit in proportion, as have the frames of a
    video (a fifth), of which a decoder holds up to sixteen."""
    aspect: int = 100
    """The long side of a picture over its short one."""
    picture_bytes: int = 256 * 2**20
    """Of a picture's file, which is read whole."""
    stored_bytes: int = 256 * 2**20
    """Of a thing in a tar file, in a table or at an address, which is read whole."""
    sound_numbers: int = 2**25
    """Frames × channels of a sound that are held at once."""
    channels: int = 64
    rate: int = 1_000_000
    """Hz."""
    frames: int = 1_000_000
    """Frames of a video that are gone through."""
    caption_bytes: int = 2**20
    """Of a file of captions."""
    table_bytes: int = 2**28
    """Of a file of sensor readings; a 32nd of it in numbers is held at once."""
    seconds: int = 30
    """The time that decoding one file may take."""


def limits() -> Limits:
    """The limits in force. `BadLimit` where the environment asks for what there is not."""
    return _parsed(os.environ.get(VARIABLE, ""))


@cache
def _parsed(text: str) -> Limits:
    known = [field.name for field in fields(Limits)]
    changes = {}
    for part in text.replace(",", " ").split():
        name, _, value = part.partition("=")
        if name not in known:
            raise BadLimit(f"{VARIABLE}: there is no limit {name!r}.{nearest(name, known)}")
        try:
            changes[name] = int(float(value))
        except (ValueError, OverflowError) as error:
            raise BadLimit(f"{VARIABLE}: {part!r}: expected {name}=<number>") from error
        if changes[name] < 1:
            raise BadLimit(f"{VARIABLE}: {part!r}: expected a number of at least 1")
    return replace(Limits(), **changes)
