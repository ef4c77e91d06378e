"""Pictures that show nothing, or not what one thinks: from a few numbers a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from sensorium.data.health import Seen
from sensorium.data.near import groups, perceptual_hash, shrink
from sensorium.doctor.finding import Finding, found
from sensorium.doctor.spread import FEWEST, outliers
from sensorium.modalities import picture_file

THUMB = 16
BLANK = 3
"""Levels of 255 between the darkest and the brightest pixel of each channel: JPEG's rounding makes some 2 of one colour."""
TINY = 16
"""Pixels of the short side. Icons have that; it is a quarter of the smallest size that anything is trained at."""
LONG = 4.0
"""Long side over short one from which the middle square holds less than a quarter of the picture."""
GREY = 2.0
"""Levels between the channels, at most: a grey JPEG that was saved as colour has 1 or 2."""
RARE = 0.05
"""The share up to which something is the odd one out; above it the data are simply mixed."""
BRIGHTER = 64.0
"""Levels of the mean, beside the robust score, from which the brightness is unusual."""
LARGER = np.log(16.0)
"""So many times more or fewer pixels than the median, beside the robust score, are unusual: sides of a quarter, or four times."""
CLOSE, CLOSEST = 24, 5.0
"""The largest and the quadratic mean of the differences (levels) of two thumbnails of near-equal pictures: a JPEG of quality 75
or a resizing moves single cells by some 12; another colour or size of one small object in the picture by 40 and more."""


CELL = 24.0
"""Levels: means of a sixteenth of a picture move by 1 when it is re-encoded."""


@dataclass(frozen=True)
class Picture:
    """What is kept of a picture: some 900 bytes, so that 10^5 of them fit into 100 MB."""

    path: str
    width: int
    height: int
    animated: bool
    turned: bool
    brightness: float
    blank: bool
    grey: bool
    thumb: UInt8[np.ndarray, "16 16 3"]
    hash: int


def measure(seen: Seen) -> Picture:
    """Of a decoded picture: its header's facts, and numbers of its middle square."""
    facts = picture_file.facts(seen.data)
    x = seen.arrays[seen.field.name]
    low, high = x.min((0, 1)).astype(int), x.max((0, 1)).astype(int)
    levels = x.astype(np.float64)
    thumb = np.stack([shrink(levels[..., c], THUMB, THUMB) for c in range(3)], -1)
    grey = float((levels.max(-1) - levels.min(-1)).max()) <= GREY
    brightness = levels.mean(-1)
    return Picture(
        path=str(seen.raw),
        width=facts.width,
        height=facts.height,
        animated=facts.animated,
        turned=facts.turned,
        brightness=float(brightness.mean()),
        blank=bool((high - low <= BLANK).all()),
        grey=grey,
        thumb=np.round(thumb).astype(np.uint8),
        hash=perceptual_hash(shrink(brightness, 2 * THUMB, 2 * THUMB)),
    )


def findings(pictures: Sequence[Picture]) -> list[Finding]:
    """What is told of single pictures."""
    out = []
    for p in pictures:
        if p.blank:
            out.append(found("blank picture", [p.path], f"its middle square is one colour, of brightness {p.brightness:.0f}"))
        if min(p.width, p.height) < TINY:
            out.append(found("tiny picture", [p.path], f"{p.width}×{p.height} pixels"))
        elif max(p.width, p.height) > LONG * min(p.width, p.height):
            out.append(found("extreme aspect", [p.path], f"{p.width}×{p.height} pixels"))
        if p.turned:
            out.append(found("turned by EXIF", [p.path], "its EXIF has an orientation"))
        if p.animated:
            out.append(found("moving picture", [p.path], "it has more than one frame"))
    return [*out, *_grey(pictures), *_unusual(pictures)]


def near_equal(pictures: Sequence[Picture]) -> list[tuple[str, ...]]:
    """Groups of pictures that look the same, though smaller, re-encoded or slightly changed; blank ones are left out."""
    shown = [p for p in pictures if not p.blank]
    thumbs = np.array([p.thumb for p in shown], np.uint8).reshape(len(shown), THUMB, THUMB, 3)
    points = np.zeros((len(shown), 48))
    for row, thumb in enumerate(thumbs):
        points[row] = thumb.reshape(4, 4, 4, 4, 3).mean((1, 3)).ravel()
    rows = groups([p.hash for p in shown], points, CELL, lambda pairs: close(thumbs[pairs[:, 0]], thumbs[pairs[:, 1]]))
    return [tuple(shown[row].path for row in group) for group in rows]


def close(a: UInt8[np.ndarray, "K 16 16 3"], b: UInt8[np.ndarray, "K 16 16 3"]) -> Bool[np.ndarray, " K"]:
    """Whether two thumbnails show the same, for each pair."""
    away = np.abs(a.astype(np.float32) - b)
    return (away.max((1, 2, 3)) <= CLOSE) & (np.sqrt((away**2).mean((1, 2, 3))) <= CLOSEST)


def _grey(pictures: Sequence[Picture]) -> list[Finding]:
    grey = [p for p in pictures if p.grey and not p.blank]
    if len(pictures) < FEWEST or not 0 < len(grey) <= RARE * len(pictures):
        return []
    return [found("grey among colour", [p.path], f"one of {len(grey)} grey ones among {len(pictures)}") for p in grey]


def _unusual(pictures: Sequence[Picture]) -> list[Finding]:
    out = []
    brightness = np.array([p.brightness for p in pictures])
    for row in np.flatnonzero(outliers(brightness, BRIGHTER)).tolist():
        if not pictures[row].blank:
            what = f"a mean of {brightness[row]:.0f} of 255, where the median is {np.median(brightness):.0f}"
            out.append(found("unusual brightness", [pictures[row].path], what))
    size = np.array([float(p.width * p.height) for p in pictures])
    for row in np.flatnonzero(outliers(np.log(size), LARGER)).tolist():
        p = pictures[row]
        if min(p.width, p.height) >= TINY:
            what = f"{p.width}×{p.height} pixels, where the median is {np.median(size):.0f} pixels"
            out.append(found("unusual size", [p.path], what))
    return out
