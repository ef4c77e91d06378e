"""A contact sheet: many small pictures on one, row by row."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image as Pillow

SIDE, GAP = 128, 8
"""Pixels that a smaller picture is made to fill, each of its own a square; and between two pictures."""


def sheet(pictures: Sequence["Pillow.Image"], columns: int | None = None) -> "Pillow.Image":
    """Pictures of one size on white, in as many columns as make a square of them unless told otherwise. Small ones are shown
    several times as large, pixel by pixel. A `ValueError` where there are none, or their sizes differ."""
    from PIL import Image as Pillow

    if len(sizes := {picture.size for picture in pictures}) != 1:
        raise ValueError(f"{len(pictures)} pictures of the sizes {sorted(sizes)}: expected one or more, all of one size")
    ((wide, high),) = sizes
    times = max(1, SIDE // min(wide, high))
    wide, high = wide * times, high * times
    across = columns or max(1, math.ceil(math.sqrt(len(pictures) * high / wide)))
    down = math.ceil(len(pictures) / across)
    out = Pillow.new("RGB", (across * (wide + GAP) + GAP, down * (high + GAP) + GAP), "white")
    for i, picture in enumerate(pictures):
        where = GAP + i % across * (wide + GAP), GAP + i // across * (high + GAP)
        out.paste(picture.convert("RGB").resize((wide, high), Pillow.Resampling.NEAREST), where)
    return out
