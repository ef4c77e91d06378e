"""Hard negatives: a true sentence and one that nearly is it and is false; and paraphrases, where both are true.

    swap     two colours exchanged (`caption.swaps`)      "a red circle above a blue square" / "a blue circle above a red square"
    replace  one colour, shape or relation for another    "a red circle above a blue square" / "a red star above a blue square"
    add      something that is not there                  "a red circle" / "a red circle and a green ring"
    negate   a "not" or "no" that makes it false          "a red circle above a blue ring" / "a red circle not above a blue ring"

`judge.true` decides of each; a scene for which the sentence cannot be made has no row.
"""

from collections.abc import Callable
from typing import NamedTuple

from sensorium.world import judge
from sensorium.world.caption import RELATIONS, Thing, objects, relations, swaps, thing
from sensorium.world.scene import COLOURS, SHAPES, Scenes, focus, uniform

KINDS = ("swap", "replace", "add", "negate")
WORDS = ("no", "not")
"""What negatives say beyond `caption.WORDS`."""
_OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}
_DRAWS = 8


class Pair(NamedTuple):
    """Two sentences about the scene `row`. The first is true; the second is false, or, of a paraphrase, true as well."""

    row: int
    true: str
    other: str


def negatives(scenes: Scenes, kind: str) -> list[Pair]:
    """At most one pair a scene; `kind`: one of `KINDS`."""
    if kind == "swap":
        return [Pair(int(row), true, false) for row, true, false in zip(*swaps(scenes), strict=True)]
    return [pair for pair, things in _pairs(scenes, kind, _MAKE[kind]) if not judge.true(things, pair.other)]


def paraphrases(scenes: Scenes) -> list[Pair]:
    """Two ways to say one thing: the relation from its other end, or the things in the other order."""
    return [pair for pair, _ in _pairs(scenes, "paraphrase", _turned)]


def _pairs(scenes: Scenes, purpose: str, make: "Make") -> list[tuple[Pair, list[Thing]]]:
    u = uniform(scenes.key, purpose, _DRAWS).tolist()
    first, second = (column.tolist() for column in focus(scenes))
    out = []
    for row, things in enumerate(objects(scenes)):
        made = make(things[first[row]], things[second[row]], u[row])
        if made is not None:
            out.append((Pair(row, *made), things))
    return out


Make = Callable[[Thing, Thing, list[float]], tuple[str, str] | None]


def _said(a: Thing, b: Thing, relation: str, u: list[float], word: str = "") -> str:
    return f"{thing(a, u, bare=True)} {word}{relation} {thing(b, u, bare=True)}"


def _relation(a: Thing, b: Thing, u: list[float]) -> str:
    options = relations(a[4], b[4])
    return options[int(u[1] * len(options))]


def _changed(a: Thing, u: list[float]) -> Thing:
    """The thing with another colour or another shape."""
    at, n = (2, len(COLOURS)) if u[5] < 0.5 else (3, len(SHAPES))
    other = (a[at] + 1 + int(u[6] * (n - 1))) % n
    return (*a[:2], other, *a[3:]) if at == 2 else (*a[:3], other, a[4])


def _replace(a: Thing, b: Thing, u: list[float]) -> tuple[str, str]:
    if a == b:
        return thing(a, u, bare=True), thing(_changed(a, u), u, bare=True)
    relation = _relation(a, b, u)
    if u[7] < 0.4:
        others = [r for r in RELATIONS if r != relation]
        return _said(a, b, relation, u), _said(a, b, others[int(u[6] * len(others))], u)
    changed = (_changed(a, u), b) if u[7] < 0.7 else (a, _changed(b, u))
    return _said(a, b, relation, u), _said(*changed, relation, u)


def _add(a: Thing, b: Thing, u: list[float]) -> tuple[str, str]:
    more: Thing = (0, 0, int(u[5] * len(COLOURS)), int(u[6] * len(SHAPES)), 0)
    said = thing(a, u, bare=True) if a == b else f"{thing(a, u, bare=True)} and {thing(b, u, bare=True)}"
    return said, f"{said} and {thing(more, u, bare=True)}"


def _negate(a: Thing, b: Thing, u: list[float]) -> tuple[str, str]:
    said = thing(a, u, bare=True)
    if a == b or u[7] < 0.3:
        return said, f"no {said.split(' ', 1)[1]}"
    relation = _relation(a, b, u)
    return _said(a, b, relation, u), _said(a, b, relation, u, "not ")


def _turned(a: Thing, b: Thing, u: list[float]) -> tuple[str, str] | None:
    if a == b:
        return None
    relation = _relation(a, b, u)
    if u[7] < 0.3:
        one, two = thing(a, u, bare=True), thing(b, u, bare=True)
        return (f"{one} and {two}", f"{two} and {one}") if one != two else None
    return _said(a, b, relation, u), _said(b, a, _OPPOSITE[relation], u)


_MAKE: dict[str, Make] = {"replace": _replace, "add": _add, "negate": _negate}
