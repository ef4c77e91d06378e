"""Chance that depends on what is read and on a number of the caller only: the same here, there and in every process."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.core.protocols import Raw, Stored


def generator(raw: Raw, draw: int) -> np.random.Generator:
    """Random numbers for one raw thing and one `draw` (any integer).

    Files count by their name without their folders, what lies inside something else by where it lies, bytes and arrays by what
    they hold.
    """
    return np.random.default_rng([_identity(raw), draw % 2**64])


def _identity(raw: Raw) -> int:
    thing: Any = raw[0] if isinstance(raw, tuple | list) and len(raw) == 2 else raw  # without its rate
    if isinstance(thing, str | Path):
        return _of_name(Path(thing).name)
    if isinstance(thing, Stored):
        return _of_name(str(thing))
    return zlib.crc32(thing if isinstance(thing, bytes) else np.ascontiguousarray(thing).data)


def _of_name(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))
