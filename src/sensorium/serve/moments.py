"""A picture of a moment of a clip: what it shows where it was found."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from sensorium.core.protocols import Raw
from sensorium.modalities import video_file
from sensorium.modalities.picture_changes import jpeg

AFTER = 0.001
"""Seconds: the frame that stands at the very moment is one of it."""


@dataclass(frozen=True)
class Moment:
    """What a process apart makes of a clip (see `Decoder.prepare`): the frame that it shows `at` seconds after its first, of its
    last one where it is shorter."""

    at: float
    side: int

    def prepare(self, raw: Raw) -> dict[str, UInt8[np.ndarray, " N"]]:
        """`jpeg`: the bytes of a picture of at most `side` pixels a side. `BadFile` where the clip is not whole."""
        from PIL import Image as Pillow

        (found,) = video_file.read(raw, lambda total: [max(0, total - 1)], np.asarray, self.at + AFTER).frames
        made = jpeg(Pillow.fromarray(found), self.side)
        assert made is not None
        return {"jpeg": np.frombuffer(made, np.uint8)}
