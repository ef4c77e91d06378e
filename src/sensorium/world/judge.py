"""Reads scenes back from pictures and sounds, and sentences against scenes: by matching and parsing, never by learning.

What is not one of the world's renders is answered too, with the scene that comes nearest: judge what might be anything
with care.
"""

import re
from functools import cache

import numpy as np
from jaxtyping import UInt8

from sensorium.world import caption, picture
from sensorium.world.caption import PHRASES, RELATIONS, SIZE_WORDS, TEXTURE_WORDS, Thing, relations
from sensorium.world.judge_sound import of_sounds as of_sounds
from sensorium.world.motion import MOTIONS
from sensorium.world.scene import COLOURS, PLACES, SHAPES, Scenes

_CORE = 6  # pixels about the centre of a place that no neighbour reaches
_FAINT = 24  # an object differs from the ground by more than this, of 255


def of_pictures(pictures: UInt8[np.ndarray, "B 64 64 3"]) -> Scenes:
    """The scene that each picture shows: at each place, the sprite and shift that fit best."""
    return caption.scenes([_picture(one.astype(np.float32)) for one in pictures])


def true(things: list[Thing], sentence: str, motion: int | None = None) -> bool:
    """Whether a sentence of the grammar holds of a scene's objects, and of their motion (its number in `MOTIONS`) where it
    says one; a `ValueError` for a sentence that is not of the grammar, or of a motion that is not told.

    "a … not above a …" is true where there are both, and no two of them lie so; "no …" where there is none.
    """
    if moved := _MOVED.fullmatch(sentence):
        if motion is None:
            raise ValueError(f"{sentence!r} says how things move: give the number of their motion")
        if moved[2] not in PHRASES[MOTIONS[motion]]:
            return False
        sentence = moved[1]
    if absent := _ABSENT.fullmatch(sentence):
        return not _matches(things, absent[1])
    if related := _RELATED.fullmatch(sentence):
        first, negated, relation, second, rest = related.groups()
        a, b = (_matches(things, said) for said in (first, second))
        pairs = [(p, q) for p in a for q in b if p != q]
        if not pairs or any(relation in relations(p[4], q[4]) for p, q in pairs) == bool(negated):
            return False
        sentence = rest or ""
    clauses = [clause for clause in re.split(r" and ", sentence.removeprefix(" and ")) if clause]
    return all(_placed(things, clause) for clause in clauses)


_SIZE, _TEXTURE = ("|".join(w for words in group for w in words if w) for group in (SIZE_WORDS, TEXTURE_WORDS))
_THING = rf"an? (?:(?:{_SIZE}) )?(?:(?:{_TEXTURE}) )?(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"
_RELATED = re.compile(rf"({_THING}) (not )?({'|'.join(RELATIONS)}) ({_THING})((?: and .*)?)")
_ABSENT = re.compile(rf"(no {_THING.removeprefix('an? ')})")
_MOVED = re.compile(rf"(.*) ({'|'.join(phrase for group in PHRASES.values() for phrase in group)})")
_PLACE = "|".join(sorted((*PLACES, "middle"), key=len, reverse=True))
_CLAUSE = re.compile(rf"(?:in the (?P<before>{_PLACE}) )?(?P<thing>{_THING})(?: in the (?P<after>{_PLACE}))?")


def _placed(things: list[Thing], clause: str) -> bool:
    said = _CLAUSE.fullmatch(clause)
    if said is None:
        raise ValueError(f"{clause!r} is no clause of the grammar")
    place = said["before"] or said["after"]
    found = _matches(things, said["thing"])
    return any(place is None or PLACES[t[4]] == place.replace("middle", "centre") for t in found)


def _matches(things: list[Thing], said: str) -> list[Thing]:
    """The objects of which all the words of `said` are true; a factor that is not said may be any."""
    words = said.split()[1:]
    return [t for t in things if all(word in _words(t) for word in words)]


def _words(t: Thing) -> set[str]:
    return {*SIZE_WORDS[t[0]], *TEXTURE_WORDS[t[1]], COLOURS[t[2]], SHAPES[t[3]]}


def _picture(image: np.ndarray) -> list[Thing]:
    ground = np.median(image.reshape(-1, 3), axis=0)
    reach = picture.SPRITE // 2 + picture.JITTER
    canvas = np.pad(image - ground, ((reach, reach), (reach, reach), (0, 0)))
    around = {}
    for place in range(len(PLACES)):
        y, x = (picture.CENTRES[i] + reach for i in divmod(place, 3))
        if abs(canvas[y - _CORE : y + _CORE, x - _CORE : x + _CORE]).max() > _FAINT:
            around[place] = canvas[y - reach : y + reach, x - reach : x + reach]
    # The largest first: what it covers is wiped out, so that it does not reach into the windows of its neighbours.
    largest = sorted(around, key=lambda place: -(around[place] ** 2).sum())
    return [(*_sprite(around[place], ground), place) for place in largest]


def _sprite(around: np.ndarray, ground: np.ndarray) -> tuple[int, int, int, int]:
    """(size, texture, colour, shape) of the sprite that fits best at any shift within `around`, which is less the ground g;
    its pixels are wiped out there.

    A sprite makes a window w + g·alpha = c·shade, where c is the colour that fits best, channel by channel, in the sense of
    least squares; what is left is its error. All windows meet all sprites in two matrix products.
    """
    alpha, shade, (ss, sa, aa) = _templates()
    views = np.lib.stride_tricks.sliding_window_view(around, (picture.SPRITE,) * 2, axis=(0, 1), writeable=True)
    windows = views.reshape(-1, 3, picture.SPRITE**2)
    g = ground[:, None]
    against_shade = windows @ shade.T + g * sa
    whole = (windows**2).sum(-1, keepdims=True) + 2 * g * (windows @ alpha.T) + g**2 * aa
    error = (whole - against_shade**2 / ss).sum(1)
    window, best = np.unravel_index(error.argmin(), error.shape)
    colour = abs(picture.PALETTE * 255 - (against_shade[window] / ss)[:, best]).sum(-1).argmin()
    shape, size, texture, *_ = np.unravel_index(best, picture.sprites()[0].shape[:5])
    covered = alpha[best].reshape(picture.SPRITE, picture.SPRITE) > 0
    views[divmod(int(window), len(views))][:, covered] = 0
    return int(size), int(texture), int(colour), int(shape)


@cache
def _templates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """alpha, shade as rows, and the sums of shade², shade·alpha and alpha² of each row."""
    alpha, shade = (bank.reshape(-1, picture.SPRITE**2) for bank in picture.sprites())
    return alpha, shade, np.stack([(shade**2).sum(1), (shade * alpha).sum(1), (alpha**2).sum(1)])
