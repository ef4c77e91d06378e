"""A query of any mix, and what is found, as the JSON has it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePath
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Modality
from sensorium.modalities import Video
from sensorium.modalities.text import unknown_words
from sensorium.search import Collection, Hit, Row, mixed, wording
from sensorium.search.embed import THUMBNAIL
from sensorium.search.grouping import grouped
from sensorium.search.late import texts
from sensorium.search.rows import item_of, key
from sensorium.search.taking import direction
from sensorium.search.where import Compare
from sensorium.serve.bounds import Bounds, NotFound, Refused
from sensorium.serve.desk import Desk
from sensorium.serve.meters import Meters
from sensorium.serve.moments import Moment
from sensorium.serve.senses import DECODERS, MOST_TEXT, Senses, Thing

T = TypeVar("T")
MOST_HITS = 200
MOST_PARTS = 16
"""Things that one query is made of."""
DEEP = 4
"""Times as many hits are found as are asked for, where those that are nearly the same become one."""
MOST_SECONDS = 1_000_000
SEARCHERS = 4
"""Threads that search and look up: most of their time they wait for the store."""
MOMENTS = 512
"""Pictures of moments of clips that are remembered, of some 10 kB each."""


@dataclass(frozen=True)
class Query:
    """What is looked for: a text, items to find more like, and the files that are sent with it, any mix. Each part weighs the
    same, but for those of a text that is a sum (`"a dog" + 0.5*"snow" - "night"`); what is like the text `without` is taken away.
    `within`: the fields to search, by default those that the query does not have. `where`: only items of which this holds, as in
    `year > 2020 and kind = 'video'`. `words`: items that say the words of `text` count too, and both lists are ranked as one.
    `group`: what is nearly the same as a better hit is told with it."""

    text: str = ""
    without: str = ""
    like: list[str] = field(default_factory=list)
    k: int = 20
    within: list[str] | None = None
    where: str | None = None
    words: bool = False
    group: bool = False

    def __post_init__(self):
        if not 1 <= self.k <= MOST_HITS:
            raise Refused(422, f"k is {self.k}: expected 1 to {MOST_HITS}")
        if max(len(self.text), len(self.without)) > MOST_TEXT:
            raise Refused(422, f"a text of more than {MOST_TEXT} characters: make it shorter")
        if len(self.like) > MOST_PARTS:
            raise Refused(422, f"{len(self.like)} items to find more like: at most {MOST_PARTS}")
        if self.words and not self.text.strip():
            raise Refused(422, "words: there is no text whose words could be looked for")


@dataclass(frozen=True)
class Found:
    """An item that was found. `score`: the cosine of the query and its vector of `field`; `start` and `end`: in seconds, the part
    of a clip or sound that was found; `files`: the names of its files by kind, at `/items/{id}/file/{kind}`; `alike`: ids of
    items that are nearly the same, where they were to be told with it."""

    rank: int
    id: str
    score: float
    field: str
    caption: str
    metadata: dict[str, Any]
    files: dict[str, str]
    start: float | None = None
    end: float | None = None
    alike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What was found, best first; `within`: the fields that were searched; `of`: how many items there are; `unknown`: words of
    the query that the model never learned, so that it only guesses what is like them."""

    hits: list[Found]
    within: list[str]
    of: int
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class About:
    """An item: all that is known of it."""

    id: str
    captions: list[str]
    metadata: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class Page:
    """Some items in the order of their ids; `next`: what the page after it is asked for with, none where this is the last; `of`:
    how many items the collection has."""

    items: list[About]
    next: str | None
    of: int


class Finder:
    """A collection that answers many. Whatever touches the collection is done by a few threads."""

    def __init__(self, collection: Collection, senses: Senses, bounds: Bounds, meters: Meters):
        self.collection, self._senses = collection, senses
        self._said: wording.Wording | None = None
        self._reading = Lock()
        self._desk = Desk(called, threads=SEARCHERS, waiting=bounds.waiting, seconds=bounds.seconds)
        self._shown = lru_cache(MOMENTS)(self._drawn)
        self._looking = Desk(called, threads=DECODERS, waiting=bounds.waiting, seconds=bounds.seconds)
        meters.watch("search_waiting", "Queries that wait for the collection.", lambda: self._desk.waiting)
        meters.watch("items", "Items of the collection.", lambda: len(collection))

    async def find(self, query: Query, things: Sequence[Thing]) -> Answer:
        """`things`: the files of the query. `Refused` for an empty one, `NotFound` for an item that is not there."""
        parts = self.parts(query, things)
        total, names = await self._summed(parts)
        found = await self.run(lambda: self.collection.steadily(lambda: self._answer(total, names, query)))
        return replace(found, unknown=unknown_words((thing.field, thing.raw) for _, thing in parts))

    async def hit(self, query: Query, things: Sequence[Thing], id: str) -> tuple[Hit, list[Thing]]:
        """An item as a query finds it, by the nearest of its parts, and what that part is: a thing, or several texts. `NotFound`
        where the item or its file is not there, `Refused` where it has nothing that is compared."""
        total, names = await self._summed(self.parts(query, things))
        return await self.run(lambda: self.collection.steadily(lambda: self._hit(total, names, query, id)))

    def parts(self, query: Query, things: Sequence[Thing]) -> list[tuple[float, Thing]]:
        """The files and texts of a query, each with its weight. `Refused` for an empty query, and for too many files."""
        if len(things) > MOST_PARTS:
            raise Refused(422, f"{len(things)} files in one query: at most {MOST_PARTS}")
        parts = [(1.0, thing) for thing in things]
        for weight, text in ((1.0, query.text.strip()), (-1.0, query.without.strip())):
            if mixed.is_mixed(text, fields := tuple(self._senses.fields.values())):
                if query.words and weight > 0:
                    raise Refused(422, "words: a sum has no words to look for: give a text without quotes, or no words")
                said = mixed.terms(text, fields, root=None)
                parts += [(weight * term.weight, Thing(self._senses.field(term.field), term.raw)) for term in said]
            elif text:
                parts.append((weight, Thing(self._senses.field("text"), text)))
        if len(parts) > len(things) + MOST_PARTS:
            raise Refused(422, f"{len(parts) - len(things)} texts in one query: at most {MOST_PARTS}")
        if not parts and not query.like:
            raise Refused(422, "nothing to look for: give a text, a file, or an item to find more like")
        return parts

    async def about(self, id: str) -> About:
        return await self.run(lambda: self._about(id))

    async def page(self, after: str, k: int, where: str) -> Page:
        """`k` items (of which `where` holds) from the first one after `after` on."""
        if not 1 <= k <= MOST_HITS:
            raise Refused(422, f"k is {k}: expected 1 to {MOST_HITS}")
        return await self.run(lambda: self.collection.steadily(lambda: self._page(after, k, where)))

    async def thumbnail(self, id: str) -> bytes:
        """A JPEG; `NotFound` where the item has no picture."""
        return await self.run(lambda: self._thumbnail(id))

    async def moment(self, id: str, at: float) -> bytes:
        """A JPEG of the frame that an item's clip shows after so many seconds, of its last one where it is shorter. It is decoded
        as a stranger's file is; `BadFile`, which names no path of this machine, where it is no whole clip."""
        if not 0 <= at <= MOST_SECONDS:
            raise Refused(422, f"at is {at}: expected 0 to {MOST_SECONDS} seconds")
        path = await self.file(id, Video.kind)
        return await self._looking.ask(lambda: self._shown(path, path.stat().st_mtime_ns, round(at, 1)))

    async def thing(self, id: str, fields: Sequence[Modality]) -> Thing:
        """The item's file (or its first caption) for the first of the fields of which it has one."""
        return await self.run(lambda: self._thing(id, fields))

    async def file(self, id: str, kind: str) -> Path:
        """Where a file of an item is; `NotFound` where it has none of the kind, or the file has gone."""
        return await self.run(lambda: self._file(id, kind))

    async def run(self, work: Callable[[], T]) -> T:
        """What `work()` gives, done by one of the collection's threads."""
        return await self._desk.ask(work)

    def close(self) -> None:
        self._desk.close()
        self._looking.close()

    async def _summed(self, parts: Sequence[tuple[float, Thing]]) -> tuple[Float[np.ndarray, "..."], set[str]]:
        """The sum of what the files and texts are, and the fields that they are of."""
        units = await self._senses.vectors([thing for _, thing in parts])
        total = np.zeros((), np.float32)
        for (weight, _), unit in zip(parts, units, strict=True):
            total = total + np.float32(weight) * unit
        return total, {thing.field.name for _, thing in parts}

    def _answer(self, total: Float[np.ndarray, "..."], asked: set[str], query: Query) -> Answer:
        total, within = self._directed(total, asked, query)
        many = (query.k * DEEP if query.group else query.k) + len(query.like)  # some of them will be nearly the same as others
        only = query.within or None, query.where or None
        if query.words:
            hits = wording.find(self._wording(), total, asked, query.text, many, *only)
        else:
            hits = self.collection.find(total, asked, many, *only)
        others = [hit for hit in hits if said(hit.id) not in query.like]
        others = (grouped(self.collection, others) if query.group else others)[: query.k]
        return Answer([_found(i, hit) for i, hit in enumerate(others, 1)], list(within), len(self.collection))

    def _directed(
        self, total: Float[np.ndarray, "..."], asked: set[str], query: Query
    ) -> tuple[Float[np.ndarray, " D"], list[str]]:
        """The sum with the items that are to be found more like, and the fields that are searched."""
        for id in query.like:
            self._row(id)  # in words of our own, where it is not there
            total = total + direction(self.collection, id)
        fields = self.collection.fields
        return total, query.within or [name for name in fields if name not in asked] or list(fields)

    def _hit(self, total: Float[np.ndarray, "..."], asked: set[str], query: Query, id: str) -> tuple[Hit, list[Thing]]:
        row = self._row(id)
        total, within = self._directed(total, asked, query)
        only = Compare("id", "=", item_of(key(row.id)))
        hits = self.collection.find(total, asked, 1, within, only)
        if not hits and query.words and query.within is None:  # it may say the words, and have no other field
            hits = self.collection.find(total, asked, 1, self.collection.fields, only)
        if not hits:
            self._row(id)  # where it was removed meanwhile, it is not there
            raise Refused(422, f"the item {id[:80]!r} has nothing that is compared: {', '.join(within)}")
        (hit,) = hits
        field = self._senses.field(hit.field)
        if field.kind == "text":
            return hit, [Thing(field, text) for text in texts(hit, row.captions)]
        return hit, [Thing(field, self._file(id, field.kind), hit.start)]

    def _wording(self) -> wording.Wording:
        """The words of all items, read once a version."""
        with self._reading:
            if self._said is None or self._said.version != self.collection.store.version:
                self._said = wording.Wording(self.collection)
            return self._said

    def _about(self, id: str) -> About:
        return _told(self._row(id))

    def _page(self, after: str, k: int, where: str) -> Page:
        rows = self.collection.page(after or None, k + 1, where or None)
        told = [_told(row) for row in rows[:k]]
        return Page(told, told[-1].id if len(rows) > k else None, len(self.collection))

    def _thumbnail(self, id: str) -> bytes:
        try:
            found = self.collection.thumbnail(id)
        except UnknownName:
            raise _unknown(id) from None
        if found is None:
            raise NotFound(f"the item {id[:80]!r} has no thumbnail")
        return found

    def _drawn(self, path: Path, changed: int, at: float) -> bytes:
        return self._senses.decode(Moment(at, 2 * THUMBNAIL), path)["jpeg"].tobytes()

    def _thing(self, id: str, fields: Sequence[Modality]) -> Thing:
        row = self._row(id)
        for one in fields:
            if one.kind in row.paths:
                return Thing(one, self._file(id, one.kind))
            if one.kind == "text" and row.captions:
                return Thing(one, row.captions[0])
        raise NotFound(f"the item {id[:80]!r} has no file of {' or '.join(one.kind for one in fields)}")

    def _file(self, id: str, kind: str) -> Path:
        names = _files(self._row(id).paths)
        path = self.collection.file(id, kind) if kind in names else None
        if path is None:
            raise NotFound(f"the item {id[:80]!r} has no file of {kind[:40]!r}. It has: {', '.join(names) or 'none'}")
        if not path.is_file():
            raise NotFound(f"the file {names[kind]!r} of this item has gone since the collection was made")
        return path

    def _row(self, id: str) -> Row:
        try:
            return self.collection.row(id)
        except UnknownName:
            raise _unknown(id) from None


def _unknown(id: str) -> NotFound:
    """In words of our own: those of the collection may name many of its items."""
    return NotFound(f"the collection has no item {id[:80]!r}")


def _told(row: Row) -> About:
    return About(said(row.id), [said(caption) for caption in row.captions], row.metadata, _files(row.paths))


def _found(rank: int, hit: Hit) -> Found:
    score, files = round(hit.score, 6), _files(hit.paths)
    alike = tuple(said(id) for id in hit.alike)
    return Found(rank, said(hit.id), score, hit.field, said(hit.caption), hit.metadata, files, hit.start, hit.end, alike)


def called(works: list[Any]) -> list[Any]:
    """The results of calls, or what they raised."""
    out: list[Any] = []
    for work in works:
        try:
            out.append(work())
        except Exception as error:
            out.append(error)
    return out


def _files(paths: dict[str, str]) -> dict[str, str]:
    """The names of an item's files; of one that lies outside of the collection's folder, its last part only."""
    return {kind: said(PurePath(path).name if PurePath(path).is_absolute() else path) for kind, path in paths.items()}


def said(text: str) -> str:
    """Names of files may hold bytes that are no UTF-8, which JSON cannot say: they are written as escapes, as the store writes
    them, so that an item is found by the id that was said."""
    return text.encode("utf-8", "backslashreplace").decode()
