"""Reads scenes back from sentences: the inverse of `caption.render` where a sentence says all that there is."""

import re
from typing import NamedTuple

from sensorium.world import layout
from sensorium.world.caption import PHRASES, SIZE_WORDS, TEXTURE_WORDS, Thing
from sensorium.world.motion import MOTIONS
from sensorium.world.scene import COLOURS, MOST, PLACES, SHAPES


class Said(NamedTuple):
    """What a sentence says: the things, in its order, and the number of the motion in `MOTIONS`, None where it says none."""

    things: list[Thing]
    motion: int | None


def read(sentence: str) -> Said | None:
    """What a sentence of the style `list` says, or a plan or a layout, with a phrase of motion after it or without; None for any
    other: of another style, of no grammar, of more things than a scene holds, or of two at one place. Case and white space do
    not count."""
    said, motion = " ".join(sentence.lower().split()), None
    if moved := _MOVED.fullmatch(said):
        said, motion = moved[1], _MOTION[moved[2]]
    things = [_thing(clause) for clause in said.split(" and ")]
    whole = [thing for thing in things if thing is not None]
    if len(whole) < len(things) or len(things) > MOST or len({thing[4] for thing in whole}) < len(things):
        return None
    return Said(whole, motion)


def motion_said(sentence: str) -> int | None:
    """The number of the motion in `MOTIONS` that a sentence of any style ends with, None where it says none."""
    moved = _MOVED.fullmatch(" ".join(sentence.lower().split()))
    return None if moved is None else _MOTION[moved[2]]


_MOTION = {phrase: MOTIONS.index(name) for name, group in PHRASES.items() for phrase in group}
_SIZE = {word: i for i, group in enumerate(SIZE_WORDS) for word in group}
_TEXTURE = {word: i for i, group in enumerate(TEXTURE_WORDS) for word in group}
_PLACE = {place: i for i, place in enumerate(PLACES)} | {"middle": PLACES.index("centre")}


def _any(words) -> str:
    return "|".join(sorted((word for word in words if word), key=len, reverse=True))


_MOVED = re.compile(rf"(.*) ({_any(_MOTION)})(?: ({_any(layout.REACHED)})(?: ({_any(layout.ROUND)}))?)?")
_THING = rf"an? (?P<size>{_any(_SIZE)}) (?:(?P<texture>{_any(_TEXTURE)}) )?(?P<colour>{_any(COLOURS)}) (?P<shape>{_any(SHAPES)})"
_WHERE, _HOW = (rf"(?: ({_any(a)}) ({_any(b)}))?" for a, b in ((layout.DOWN, layout.RIGHT), (layout.TURNED, layout.SCALED)))
_CLAUSES = (
    re.compile(rf"{_THING} in the (?P<place>{_any(_PLACE)})"),
    re.compile(rf"in the (?P<place>{_any(_PLACE)}){_WHERE} {_THING}{_HOW}"),
)


def _thing(clause: str) -> Thing | None:
    """The thing of one clause, all of whose factors are said; a texture that is not said is plain."""
    for form in _CLAUSES:
        if found := form.fullmatch(clause):
            size, texture, place = _SIZE[found["size"]], _TEXTURE[found["texture"] or ""], _PLACE[found["place"]]
            return size, texture, COLOURS.index(found["colour"]), SHAPES.index(found["shape"]), place
    return None
