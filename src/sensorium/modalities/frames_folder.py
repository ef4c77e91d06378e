"""A clip as a folder of pictures, one a frame."""

import re
from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.modalities.image import Image


def frames(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names (frame 2 before frame 10), then of the names.

    Hidden files and other kinds of files are left out. `BadFile` where there is no picture, or more than the limit of frames.
    """
    found: list[Path] = []
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in Image.suffixes and not path.name.startswith("."):
                found.append(path)
            if len(found) > limits().frames:
                raise BadFile(f"{folder}: more than {limits().frames} frames: cut it into parts first")
    except OSError as error:
        raise BadFile(f"{folder}: {error.strerror or error}") from error
    if not found:
        raise BadFile(f"{folder}: a folder without pictures: expected the frames of a clip, as {', '.join(Image.suffixes)}")
    return sorted(found, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Digits count as the number that they are."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)], path.name
