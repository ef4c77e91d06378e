"""A picture of a moment of a clip: what it shows where it was found."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.modalities import video_file
from sensorium.modalities.picture_changes import jpeg
from sensorium.search.embed import THUMBNAIL

KEPT = 512
"""Pictures that are remembered, of some 10 kB each."""
AFTER = 0.001
"""Seconds: the frame that stands at the very moment is one of it."""


@lru_cache(KEPT)
def frame(path: Path, changed: int, at: float) -> bytes:
    """A JPEG of the frame that a clip shows `at` seconds after its first, of its last one where it is shorter; `changed`: when
    the file was. `BadFile`, which names no path of this machine, where it is no whole clip."""
    from PIL import Image as Pillow

    try:
        (found,) = video_file.read(path, lambda total: [max(0, total - 1)], np.asarray, at + AFTER).frames
    except BadFile as error:
        raise BadFile(str(error).replace(str(path), "the item's clip")) from None
    made = jpeg(Pillow.fromarray(found), 2 * THUMBNAIL)
    assert made is not None
    return made
