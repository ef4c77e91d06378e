"""Questions about scenes, with answers that nobody can guess: of each type, all answers are about equally frequent.

Draws of the world are not even (there are more scenes of two objects than of one; a shape whose colour is held out has the
next colour twice as often): what is too frequent is asked less often, so that blind guessing gains next to nothing.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from sensorium.world.caption import RELATIONS, Thing, article, objects, relations
from sensorium.world.motion import MOTIONS, draw
from sensorium.world.scene import COLOURS, HELD_OUT, PLACES, SHAPES, SIZES, Scenes, focus, uniform

COUNTS = ("one", "two", "three")
TYPES: dict[str, tuple[str, ...]] = {
    "count": COUNTS,
    "colour": COLOURS,
    "shape": SHAPES,
    "relation": RELATIONS,
    "size": SIZES,
    "motion": MOTIONS,
    "place": PLACES,
    "beside": tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES),
    "there": ("yes", "no"),
}
"""The answers of each type; chance is one over their number."""
_DRAWS = 6


class Question(NamedTuple):
    """About the scene `row`; `type` is one of `TYPES`."""

    row: int
    question: str
    answer: str
    type: str


def ask(scenes: Scenes, variant: int = 0) -> list[Question]:
    """At most one question of each type about each scene, by scene and then by type."""
    u = uniform(scenes.key, f"ask{variant}", _DRAWS * len(TYPES)).reshape(len(scenes), len(TYPES), _DRAWS).tolist()
    first, second = (column.tolist() for column in focus(scenes, variant))
    moved = draw(scenes).kind.tolist()
    out = []
    for row, things in enumerate(objects(scenes)):
        for (type, make), v in zip(_ASK.items(), u[row], strict=True):
            made = make(things, things[first[row]], things[second[row]], v)
            if made is not None:
                truth = answer(things, moved[row], made)
                out.append(Question(row, made, truth, type))
    return out


def answer(things: list[Thing], motion: int, question: str) -> str:
    """The answer that a scene gives; a `ValueError` for a question that is none of these, or that the scene leaves open."""
    for pattern, reply in _REPLY:
        if found := pattern.fullmatch(question):
            answers = reply(things, motion, *found.groups())
            if len(answers) != 1:
                raise ValueError(f"{question!r} has {len(answers)} answers in this scene: {sorted(answers)}")
            return answers.pop()
    raise ValueError(f"{question!r} is no question of the world")


def _count(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    kept = len(things) == 1 or u[0] < 0.5  # scenes of one object are half as frequent as those of two and of three
    return _said(u, "how many things are there", "how many objects can you see") if kept else None


def _colour(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    if _rare(a, u) or (_held(a) and u[4] < 0.5):  # held-out pairs lack two colours: not too many of them
        return None
    if u[2] < 0.5 and not _held(a) and sum(t[3] == a[3] for t in things) == 1:
        return _said(u, f"what colour is the {SHAPES[a[3]]}", f"which colour has the {SHAPES[a[3]]}")
    return _said(u, f"what colour is the thing in the {PLACES[a[4]]}", f"which colour has the thing in the {PLACES[a[4]]}")


def _shape(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    if _rare(a, u):
        return None
    if u[2] < 0.5 and not _held(a) and sum(t[2] == a[2] for t in things) == 1:
        return _said(u, f"what shape is the {COLOURS[a[2]]} thing", f"which shape has the {COLOURS[a[2]]} thing")
    return _said(u, f"what shape is the thing in the {PLACES[a[4]]}", f"which shape has the thing in the {PLACES[a[4]]}")


def _relation(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    if a == b or not (_unique(things, a) and _unique(things, b)) or len(relations(a[4], b[4])) != 1:
        return None
    return _said(u, f"where is the {_name(a)} beside the {_name(b)}", f"how does the {_name(a)} lie to the {_name(b)}")


def _size(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    if not _unique(things, a):
        return None
    return _said(u, f"is the {_name(a)} small or large", f"how large is the {_name(a)}")


def _motion(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    return _said(u, "how does everything move", "which way do things go")


def _place(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    if not _unique(things, a):
        return None
    return _said(u, f"where is the {_name(a)}", f"in which place is the {_name(a)}")


def _beside(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    """Of what lies so to `a` and is called by its name. Things of held-out pairs, of which each compositional scene has one, are
    asked for as seldom as others."""
    ways = [name for name in RELATIONS if len([t for t in things if t != a and name in relations(t[4], a[4])]) == 1]
    if not ways or not _unique(things, a):
        return None
    way = ways[int(u[2] * len(ways))]
    (found,) = (t for t in things if t != a and way in relations(t[4], a[4]))
    if _rare(found, u) or (_held(found) and u[4] < 7 / 8):
        return None
    return _said(u, f"what is {way} the {_name(a)}", f"what lies {way} the {_name(a)}")


def _there(things: list[Thing], a: Thing, b: Thing, u: list[float]) -> str | None:
    """Half of them of what is not there: of the colour or the shape of what is, or of the colour of one thing and the shape of
    another. Nothing is asked of held-out pairs, which are never there in training."""
    if _held(a) or _rare(a, u):
        return None
    if u[2] < 0.5:
        return _seen(u, a[2], a[3])
    colours, shapes = [(c, a[3]) for c in range(len(COLOURS))], [(a[2], s) for s in range(len(SHAPES))]
    mixed = [(a[2], b[3]), (b[2], a[3])]
    known = {t[2:4] for t in things}
    for pairs in (mixed, colours, shapes) if u[4] < 1 / 3 else (colours,) if u[4] < 2 / 3 else (shapes,):
        if absent := [pair for pair in pairs if pair not in known and HELD_OUT[pair[1]] != pair[0]]:
            return _seen(u, *absent[int(u[5] * len(absent))])
    return None


def _seen(u: list[float], colour: int, shape: int) -> str:
    said = article(f"{COLOURS[colour]} {SHAPES[shape]}")
    return _said(u, f"is there {said}", f"can you see {said}")


def _said(u: list[float], *ways: str) -> str:
    return ways[int(u[1] * len(ways))]


def _rare(a: Thing, u: list[float]) -> bool:
    """Whether a thing is passed over: the colour after the held-out one of its shape is drawn twice as often as others, and
    a colour that is held out of no shape 6/5 as often."""
    return (a[2] == (HELD_OUT[a[3]] + 1) % len(COLOURS) and u[0] < 0.5) or (a[2] not in HELD_OUT and u[3] < 1 / 6)


def _held(a: Thing) -> bool:
    """A thing of a held-out pair: its shape would tell its colour, so it is asked for by its place."""
    return HELD_OUT[a[3]] == a[2]


def _unique(things: list[Thing], a: Thing) -> bool:
    return sum(t[2:4] == a[2:4] for t in things) == 1


def _name(a: Thing) -> str:
    return f"{COLOURS[a[2]]} {SHAPES[a[3]]}"


def _lie(things: list[Thing], motion: int, a: str, b: str) -> set[str]:
    pairs = [(p, q) for p in things for q in things if _name(p) == a and _name(q) == b and p != q]
    return {relation for p, q in pairs for relation in relations(p[4], q[4])}


def _found(things: list[Thing], motion: int, way: str, name: str) -> set[str]:
    return {_name(t) for a in things if _name(a) == name for t in things if t != a and way in relations(t[4], a[4])}


_ASK = {"count": _count, "colour": _colour, "shape": _shape, "relation": _relation, "size": _size, "motion": _motion}
_ASK |= {"place": _place, "beside": _beside, "there": _there}
_SHAPE, _COLOUR, _PLACE = ("|".join(sorted(words, key=len, reverse=True)) for words in (SHAPES, COLOURS, PLACES))
_THING = rf"(?:{_COLOUR}) (?:{_SHAPE})"
Reply = Callable[..., set[str]]
_REPLY: list[tuple[re.Pattern[str], Reply]] = [
    (re.compile(pattern), reply)
    for pattern, reply in (
        ("how many (?:things are there|objects can you see)", lambda things, motion: {COUNTS[len(things) - 1]}),
        (
            rf"wh(?:at|ich) colour (?:is|has) the ({_SHAPE})",
            lambda things, motion, shape: {COLOURS[t[2]] for t in things if SHAPES[t[3]] == shape},
        ),
        (
            rf"wh(?:at|ich) colour (?:is|has) the thing in the ({_PLACE})",
            lambda things, motion, place: {COLOURS[t[2]] for t in things if PLACES[t[4]] == place},
        ),
        (
            rf"wh(?:at|ich) shape (?:is|has) the ({_COLOUR}) thing",
            lambda things, motion, colour: {SHAPES[t[3]] for t in things if COLOURS[t[2]] == colour},
        ),
        (
            rf"wh(?:at|ich) shape (?:is|has) the thing in the ({_PLACE})",
            lambda things, motion, place: {SHAPES[t[3]] for t in things if PLACES[t[4]] == place},
        ),
        (rf"(?:where is|how does) the ({_THING}) (?:beside|lie to) the ({_THING})", _lie),
        (
            rf"(?:is|how large is) the ({_THING})(?: small or large)?",
            lambda things, motion, name: {SIZES[t[0]] for t in things if _name(t) == name},
        ),
        (
            rf"(?:where|in which place) is the ({_THING})",
            lambda things, motion, name: {PLACES[t[4]] for t in things if _name(t) == name},
        ),
        (rf"what (?:is|lies) ({'|'.join(RELATIONS)}) the ({_THING})", _found),
        (
            rf"(?:is there|can you see) an? ({_THING})",
            lambda things, motion, name: {"yes" if any(_name(t) == name for t in things) else "no"},
        ),
        ("how does everything move|which way do things go", lambda things, motion: {MOTIONS[motion]}),
    )
]
WORDS = tuple(
    sorted(
        {
            w
            for said in ("how many things are there", "how many objects can you see", "which way do things go")
            for w in said.split()
        }
        | {
            w
            for said in ("what colour is the thing in the", "which shape has the", "how does everything move")
            for w in said.split()
        }
        | {w for said in ("where is the beside the", "how does the lie to the", "small or large") for w in said.split()}
        | {w for said in ("in which place is the", "what lies the", "is there a", "can you see an") for w in said.split()}
        | {w for answers in (*TYPES.values(), PLACES) for said in answers for w in said.split()}
    )
)
"""Every word of the questions and of their answers."""
