"""Why an item was found, as the JSON has it: which patch, moment or word of it is like which of the query, said and drawn."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from sensorium.modalities import BadRaw
from sensorium.models.pieces import has_pieces
from sensorium.search import Hit
from sensorium.search.late import Match, Tokens, nearest, whole
from sensorium.serve.bounds import Bounds, Refused
from sensorium.serve.desk import Desk
from sensorium.serve.finding import Finder, Query, called, said
from sensorium.serve.meters import Meters
from sensorium.serve.senses import Reader, Senses, Thing
from sensorium.show import why

WAITING = 16
"""Pictures that wait to be drawn: each takes some tenths of a second."""
DRAWN = 4
"""Things of a query that have a picture of their own; of the others there are the words and numbers."""


@dataclass(frozen=True)
class Why(Query):
    """What was looked for, as for `/search`, and the `id` of the item that was found (what only chooses among items, `k`, `where`
    and `group`, changes nothing). `picture`: whether it is drawn, too."""

    id: str = ""
    picture: bool = True

    def __post_init__(self):
        super().__post_init__()
        if not self.id:
            raise Refused(422, "why which item? Give its id")


@dataclass(frozen=True)
class Nearest:
    """A word of the query (of a thing that is no text, the whole, called by its field), and what of the item is like it the most:
    the `cosine`; where that is, exactly and as one would say it (`like`); and which cell it is along each axis of its grid (rows
    and columns of a picture, first the time of a sound, tokens of a text), counted from 0, `of` how many. Without these it stands
    for the whole."""

    asked: str
    cosine: float
    found: str
    like: str
    at: tuple[int, ...]
    of: tuple[int, ...]


@dataclass(frozen=True)
class Mark:
    """A piece of a text that was found, and how much it is like the query, from 0 to 1."""

    text: str
    weight: float


@dataclass(frozen=True)
class Part:
    """What one thing of the query has to do with it: `field` and `weight` (below 0 for what is taken away) of that thing, the
    mean cosine `score` of its tokens, and the nearest of each word. `picture`: a PNG in base64, which `alt` tells in words; of a
    text `marks` instead."""

    field: str
    weight: float
    score: float
    nearest: list[Nearest]
    alt: str
    picture: str
    marks: list[Mark]


@dataclass(frozen=True)
class Reason:
    """Why an item was found: by which `field`, and which part of a clip or sound (in seconds); `score`: the cosine, as `/search`
    has it; `late`: the sum of weight × score over the `parts`, one for each thing of the query: texts and files first, then the
    items of `like`."""

    id: str
    field: str
    start: float | None
    end: float | None
    score: float
    late: float
    parts: list[Part]


class Reasons:
    """Says why. The model reads tokens where it reads all else; pictures are drawn by one thread, one after another. `fields`:
    those whose tokens lie in the shared space."""

    def __init__(self, finder: Finder, senses: Senses, bounds: Bounds, meters: Meters):
        self._finder, self._senses = finder, senses
        self.fields = _fields(senses.model, list(senses.fields))
        self._desk = Desk(called, waiting=min(WAITING, bounds.waiting), seconds=bounds.seconds)
        meters.watch("draw_waiting", "Pictures of why something was found that wait to be drawn.", lambda: self._desk.waiting)

    async def why(self, query: Why, things: Sequence[Thing]) -> Reason:
        """`NotFound` where the item or its file is not there, `Refused` where tokens do not come into the shared space."""
        parts = self._finder.parts(query, things)
        self._check([thing.field.name for _, thing in parts])
        hit, found = await self._finder.hit(query, things, query.id)
        self._check([hit.field])
        own = sorted((self._senses.fields[name] for name in self.fields), key=lambda field: field.name != hit.field)
        parts += [(1.0, await self._finder.thing(id, own)) for id in query.like]
        read = await self._senses.tokens([*(thing for _, thing in parts), *found])
        weights = [weight for weight, _ in parts]
        return await self._desk.ask(lambda: _reason(hit, weights, read, query.picture))

    def close(self) -> None:
        self._desk.close()

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.fields:
                others = f"; those of {', '.join(self.fields)} are" if self.fields else ""
                raise Refused(422, f"this model cannot say why: its tokens of {name!r} are not in the shared space{others}")


def _reason(hit: Hit, weights: Sequence[float], read: Sequence[Tokens], picture: bool) -> Reason:
    """`read`: the things of the query, one a weight, and after them what was found."""
    found = read[len(weights) :]
    matches = [nearest(one, found) for one in read[: len(weights)]]
    late = sum(weight * match.score for weight, match in zip(weights, matches, strict=True))
    parts = [
        _part(match, weight, hit.start, picture and i < DRAWN)
        for i, (match, weight) in enumerate(zip(matches, weights, strict=True))
    ]
    return Reason(said(hit.id), hit.field, hit.start, hit.end, round(hit.score, 6), round(late, 6), parts)


def _part(match: Match, weight: float, start: float | None, picture: bool) -> Part:
    near = []
    for told, (_, line) in zip(why.said(match, start), why.lines(match), strict=True):
        token = int(line.argmax())
        like = why.glance(match.found, token, start)
        near.append(Nearest(told["asked"], told["cosine"], told["found"], like, *why.cell(match.found, token)))
    figure = why.drawn(match, start) if picture else None
    drawn = "" if figure is None else b64encode(why.png(figure)).decode()
    marks = [Mark(text, round(x, 4)) for text, x in why.marked(match)] if match.found.words else []
    return Part(match.asked.field.name, weight, round(match.score, 6), near, why.alt(match, start), drawn, marks)


def _fields(model: Reader, names: Sequence[str]) -> tuple[str, ...]:
    try:
        inner = whole(model).model
    except BadRaw:  # it is none of ours
        return ()
    return tuple(name for name in names if has_pieces(inner, name))
