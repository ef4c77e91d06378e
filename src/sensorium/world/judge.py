"""Reads scenes back from pictures and sounds, and sentences against scenes: by matching and parsing, never by learning.

What is not one of the world's renders is answered too, with the scene that comes nearest: judge what might be anything
with care.
"""

import re

from sensorium.world.caption import PHRASES, RELATIONS, SIZE_WORDS, TEXTURE_WORDS, Thing, relations
from sensorium.world.judge_picture import of_pictures as of_pictures
from sensorium.world.judge_sound import of_sounds as of_sounds
from sensorium.world.motion import MOTIONS
from sensorium.world.scene import COLOURS, PLACES, SHAPES


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
