"""Scenes as sentences of a small grammar in which word order matters, and hard negatives that differ by a swap.

    sentence  = list | relation, and in the style `MOTION` a phrase of `PHRASES` after it
    list      = thing "in the" place ("and" thing "in the" place)*       or     "in the" place thing ("and" …)*
    relation  = thing ("above"|"below"|"left of"|"right of") thing ["and" thing "in the" place]
    thing     = "a"|"an" [size] [texture] colour shape

A `list` says everything that the picture shows; a `relation` says how two objects lie to each other. `short` relations
leave out size and texture, as people do ("a red circle above a blue square").
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import UnknownName, nearest
from sensorium.world import layout
from sensorium.world.motion import MOTIONS, draw
from sensorium.world.scene import COLOURS, MOST, PLACES, SHAPES, Scenes, choice, focus, uniform

SIZE_WORDS = (("small", "little"), ("large", "big"))
TEXTURE_WORDS = (("", "plain"), ("striped",), ("dotted",))
RELATIONS = ("above", "below", "left of", "right of")
STYLES = ("list", "relation", "short")
MOST_WORDS = 29
WORDS = tuple(
    sorted(
        {"a", "an", "in", "the", "and", "of", "middle", "above", "below", "left", "right"}
        | {w for group in SIZE_WORDS + TEXTURE_WORDS for w in group if w}
        | {w for place in PLACES for w in place.split()}
        | set(COLOURS + SHAPES)
    )
)
"""Every word of the grammar of `STYLES`."""
MOTION = "motion"
"""A style beside `STYLES`: a `short` sentence, and how everything moves."""
PHRASES = {
    "still": ("standing still", "staying still"),
    "left": ("moving left", "going left"),
    "right": ("moving right", "going right"),
    "up": ("moving up", "going up"),
    "down": ("moving down", "going down"),
    "circle": ("moving in a circle", "going in a circle"),
    "grow": ("coming closer", "growing"),
    "shrink": ("going away", "shrinking"),
}
READING = "reading"
"""Another: a `list` in reading order, that says first of each thing where it is. So it is known of what the next words are; in a
`list` that is open until a word has been said that is true of one thing alone."""
MOVING_LIST = "moving list"
"""And a `list`, and how everything moves."""
MOTION_WORDS = tuple(sorted({w for group in PHRASES.values() for phrase in group for w in phrase.split()} - set(WORDS)))
"""The words that those who say how things move need beyond `WORDS`."""
LOOSE = "loose"
"""As people ask for things: of each its colour and shape, and of its size, its texture and its place some or none; of two things,
now and then, how they lie to each other instead."""
MOVING_LOOSE = "moving loose"
PLAN = "plan"
"""All of each thing in the same words, first where it is: as a planner writes what it was told, in the order in which it was."""
LAYOUT = "layout"
"""A plan of a picture that leaves next to nothing open: after each place and after each thing its `layout.details`."""
MOVING_LAYOUT = "moving layout"
"""And of a clip: with how everything moves, and the `layout.ways`."""
READING_LAYOUT = "reading layout"
MOVING_READING_LAYOUT = "moving reading layout"
"""Layouts in reading order, as a planner writes them that was told nothing in any order."""
MORE = (MOTION, READING, MOVING_LIST, LOOSE, MOVING_LOOSE, PLAN, LAYOUT, MOVING_LAYOUT, READING_LAYOUT, MOVING_READING_LAYOUT)
MOVING = {MOTION: "short", MOVING_LIST: "list", MOVING_LOOSE: LOOSE, MOVING_LAYOUT: LAYOUT, MOVING_READING_LAYOUT: READING_LAYOUT}
"""What those who say how things move say before that."""

_T = TypeVar("_T")
Thing = tuple[int, int, int, int, int]  # size, texture, colour, shape, place
_DRAWS = 5  # numbers drawn a caption: where places are said, relation, and three for the wording
_LOOSELY = 1 + 3 * MOST  # numbers drawn a `LOOSE` one: whether it is a relation, and of each thing what is said
_SAME = (0.0, 0.0, 0.0, 0.99, 0.0)  # numbers of plans: "small" or "large", "plain", "centre"
_LIE = 0.3  # the share of those of two things or more that are


def render(scenes: Scenes, style: Sequence[str] | str, variant: int = 0) -> list[str]:
    """A true sentence a scene. `style`: one of `STYLES` or of the `MORE`, or one a scene; `variant` draws other words and another
    order. A scene of one object has no relation: it is described by a `list`.
    """
    styles = [style] * len(scenes) if isinstance(style, str) else style
    u = uniform(scenes.key, f"words{variant}", _DRAWS).tolist()
    first, second = (column.tolist() for column in focus(scenes, variant))
    ordered = [_focused(*row) for row in zip(objects(scenes), first, second, strict=True)]
    bases = [MOVING.get(s, s) for s in styles]
    w = uniform(scenes.key, f"loose{variant}", _LOOSELY).tolist() if LOOSE in bases else u
    details = layout.details(scenes) if {LAYOUT, READING_LAYOUT} & set(bases) else ordered
    asides = [_focused(*row) for row in zip(details, first, second, strict=True)]
    said = [_said(*each) for each in zip(ordered, bases, u, w, asides, strict=True)]
    if not set(styles) & set(MOVING):
        return said
    motions, which = draw(scenes), choice(uniform(scenes.key, f"moves{variant}", 1)[:, 0], 2)
    fixed = np.isin(styles, (MOVING_LAYOUT, MOVING_READING_LAYOUT))
    ways = layout.ways(motions) if fixed.any() else [""] * len(scenes)
    every = zip(motions.kind, np.where(fixed, 0, which), np.where(fixed, ways, ""), strict=True)
    phrases = [PHRASES[MOTIONS[kind]][i] + way for kind, i, way in every]
    return [f"{one} {phrase}" if s in MOVING else one for one, phrase, s in zip(said, phrases, styles, strict=True)]


def styles(scenes: Scenes, weights: Sequence[float], variant: int = 0) -> list[str]:
    """A style a scene, drawn with `weights` for `STYLES` and, where there are more, for the `MORE`."""
    edges = np.cumsum(weights)[:-1] / np.sum(weights)
    drawn = np.searchsorted(edges, uniform(scenes.key, f"style{variant}", 1)[:, 0], side="right")
    return [(*STYLES, *MORE)[i] for i in drawn]


def weights(**shares: float) -> tuple[float, ...]:
    """The weights of `styles` by their names, `_` for a space: `weights(list=1, moving_layout=2)`."""
    known = [name.replace(" ", "_") for name in (*STYLES, *MORE)]
    if other := sorted(shares.keys() - set(known)):
        raise UnknownName(f"no style is called {other[0]!r}.{nearest(other[0], known)}")
    return tuple(float(shares.get(name, 0.0)) for name in known)


LISTS = weights(list=1)


def objects(scenes: Scenes) -> list[list[Thing]]:
    """The objects of each scene, in the order of their places."""
    parts = np.stack([scenes.size, scenes.texture, scenes.colour, scenes.shape, scenes.place], -1).tolist()
    return [[tuple(thing) for thing in row if thing[4] >= 0] for row in parts]


def scenes(things: Sequence[Sequence[Thing]]) -> Scenes:
    """The inverse of `objects`: objects by scene as `Scenes`, in the order of their places, in `MOST` columns, or more where
    some have more objects than a scene can hold."""
    table = np.full((len(things), max((MOST, *map(len, things))), 5), -1, np.int64)
    for row, own in enumerate(things):
        for i, one in enumerate(sorted(own, key=lambda t: t[4])):
            table[row, i] = one
    size, texture, colour, shape, place = np.moveaxis(table, -1, 0)
    return Scenes(shape, colour, texture, size, place, key=np.zeros(len(things), np.uint64))


def sentence(things: list[Thing], style: str, u: Sequence[float]) -> str:
    """One sentence about `things`, in their order (`READING`: in that of their places); `u`: five numbers in
    [0, 1) that choose among the ways to say it; of a `PLAN` there is one."""
    if style == PLAN:
        return " and ".join(_placed(t, _SAME, before=True) for t in things)
    if style == READING:
        return " and ".join(_placed(t, u, before=True) for t in sorted(things, key=lambda t: t[4]))
    if style == "list" or len(things) == 1:
        return " and ".join(_placed(t, u, before=u[0] < 0.4) for t in things)
    a, b = things[:2]
    options = relations(a[4], b[4])
    relation = options[int(u[1] * len(options))]
    if style == "short":
        return f"{thing(a, u, bare=True)} {relation} {thing(b, u, bare=True)}"
    rest = "".join(f" and {_placed(t, u, before=False)}" for t in things[2:])
    return f"{thing(a, u)} {relation} {thing(b, u)}{rest}"


def thing(t: Thing, u: Sequence[float], bare: bool = False) -> str:
    return _called(t, u, not bare, not bare)


def _called(t: Thing, u: Sequence[float], sized: bool, textured: bool) -> str:
    size, texture = SIZE_WORDS[t[0]], TEXTURE_WORDS[t[1]]
    words = (size[int(u[2] * len(size))] if sized else "", texture[int(u[3] * len(texture))] if textured else "")
    said = " ".join(w for w in (*words, COLOURS[t[2]], SHAPES[t[3]]) if w)
    return article(said)


def article(said: str) -> str:
    """A thing with "a" or "an" before it."""
    return f"an {said}" if said[0] in "aeiou" else f"a {said}"


def _said(things: list[Thing], style: str, u: Sequence[float], w: list[float], asides: list[Any]) -> str:
    """Of one scene, in any style; `asides` are read of a `LAYOUT`, and `w` of a `LOOSE` one."""
    if style in (LAYOUT, READING_LAYOUT):
        each = list(zip(things, asides, strict=True))
        return _laid_out(each if style == LAYOUT else sorted(each, key=lambda one: one[0][4]))
    return _loose(things, u, w) if style == LOOSE else sentence(things, style, u)


def _laid_out(each: list[tuple[Thing, tuple[str, str]]]) -> str:
    return " and ".join(f"in the {PLACES[t[4]]} {where} {thing(t, _SAME)} {how}" for t, (where, how) in each)


def _loose(things: list[Thing], u: Sequence[float], w: list[float]) -> str:
    says = [[x < 0.5 for x in w[1 + 3 * i : 4 + 3 * i]] for i in range(len(things))]
    called = [_called(t, u, sized, textured) for t, (sized, textured, _) in zip(things, says, strict=True)]
    clauses = [
        _where(t, u, name, before=u[0] < 0.4) if placed else name
        for t, name, (_, _, placed) in zip(things, called, says, strict=True)
    ]
    if len(things) > 1 and w[0] < _LIE:
        options = relations(things[0][4], things[1][4])
        return " and ".join([f"{called[0]} {options[int(u[1] * len(options))]} {called[1]}", *clauses[2:]])
    return " and ".join(clauses)


def relations(a: int, b: int) -> list[str]:
    """How place `a` lies to place `b`: by rows above or below, by columns left or right; both hold on a diagonal."""
    (ya, xa), (yb, xb) = divmod(a, 3), divmod(b, 3)
    holds = (ya < yb, ya > yb, xa < xb, xa > xb)
    return [name for name, true in zip(RELATIONS, holds, strict=True) if true]


def swaps(scenes: Scenes) -> tuple[Int[np.ndarray, " K"], list[str], list[str]]:
    """Hard negatives: (rows, true, false), where the false sentence is the true one with two colours exchanged.

    Only scenes that admit one have a row: some two objects of unlike colours, for which the exchanged sentence holds of
    no two objects of the scene.
    """
    u = uniform(scenes.key, "swap", _DRAWS).tolist()
    first, second = (column.tolist() for column in focus(scenes))
    rows, true, false = [], [], []
    for row, things in enumerate(objects(scenes)):
        if first[row] == second[row]:
            continue
        a, b = things[first[row]], things[second[row]]
        options = relations(a[4], b[4])
        relation = options[int(u[row][1] * len(options))]
        a_false, b_false = (*a[:2], b[2], *a[3:]), (*b[:2], a[2], *b[3:])
        if holds(things, a_false, relation, b_false):
            continue
        rows.append(row)
        true.append(f"{thing(a, u[row], bare=True)} {relation} {thing(b, u[row], bare=True)}")
        false.append(f"{thing(a_false, u[row], bare=True)} {relation} {thing(b_false, u[row], bare=True)}")
    return np.array(rows, np.int64), true, false


def holds(things: list[Thing], a: Thing, relation: str, b: Thing) -> bool:
    """Whether some two objects of the colours and shapes of `a` and `b` lie in that relation."""
    alike = [(p, q) for p in things for q in things if p[2:4] == a[2:4] and q[2:4] == b[2:4] and p != q]
    return any(relation in relations(p[4], q[4]) for p, q in alike)


def _focused(things: Sequence[_T], first: int, second: int) -> list[_T]:
    """`things` with the two in focus first, in that order."""
    if first == second:
        return list(things)
    return [things[first], things[second], *(t for i, t in enumerate(things) if i not in (first, second))]


def _placed(t: Thing, u: Sequence[float], before: bool) -> str:
    return _where(t, u, thing(t, u), before)


def _where(t: Thing, u: Sequence[float], name: str, before: bool) -> str:
    place = PLACES[t[4]] if u[4] < 0.7 else PLACES[t[4]].replace("centre", "middle")
    return f"in the {place} {name}" if before else f"{name} in the {place}"
