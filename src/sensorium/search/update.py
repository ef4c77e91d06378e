"""Bringing a store up to date with items: what is new or changed is embedded, what has gone is removed, the rest is left
alone."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.data.listing import Lazy, Problem
from sensorium.data.ready import begun
from sensorium.search.embed import Model, embed
from sensorium.search.kept import Loss
from sensorium.search.precision import converted
from sensorium.search.prefix import Prefix
from sensorium.search.rows import Entry, item_of, key, table
from sensorium.search.stamps import Stamp, same, stamp
from sensorium.search.store import KEY, Store
from sensorium.search.where import Compare

_AT_ONCE, _OFTEN = 512, 5.0  # items, and seconds after which what was made is written
Progress = Callable[[int], None]


@dataclass
class Changes:
    """How many items were what. `failed`: those that were new or had changed, and of which nothing could be embedded."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Known:
    """What the store has of an item: its stamp, how many rows it should have, whether something of it could not be read, and how
    many rows it has."""

    stamp: str
    rows: int
    troubled: bool
    found: int

    @property
    def whole(self) -> bool:
        return bool(self.stamp) and self.found == max(1, self.rows)


class Update:
    """One run. Every block of items is written in one step, with all pieces of each, while the next one is embedded: whoever is
    killed loses the blocks at work and nothing else, and the next run goes on from there."""

    def __init__(
        self,
        store: Store,
        model: Model,
        root: Path | None,
        retry: bool = False,
        precision: str = "f32",
        begin: Callable[[], Store] | None = None,
    ):
        """`begin`: for a collection that is new: makes its store, when there are rows with vectors to write, and not before, so
        that what fails until then leaves everything as it was."""
        self.store, self.root, self.retry, self.precision = store, root, retry, precision
        # All numbers are looked at, also where the first alone are kept: what that loses is measured.
        self._prefix, self.model = (model, model.model) if isinstance(model, Prefix) else (None, model)
        self.loss = Loss(self._prefix, precision)
        self.changes = Changes()
        self._begin, self._waiting = begin, list[Entry]()
        self._known = _known(store) if begin is None else {}
        self._stamps: dict[str, Stamp] = {}
        self._touched: dict[str, Stamp] = {}

    @property
    def waits(self) -> bool:
        """Whether it is of a new collection, and nothing has been written."""
        return self._begin is not None

    @property
    def problems(self) -> list[Problem]:
        """Those of the items that wait, as nothing could be embedded so far."""
        return [problem for entry in self._waiting for problem in entry.problems]

    def run(self, items: Iterable[Item], progress: Progress | None = None) -> Changes:
        """Embeds what has to be, and removes items that are not among these."""
        done = progress or (lambda n: None)
        seen: set[str] = set()
        blocks = _gathered(embed(self.model, self._todo(items, seen, done), self.root), done)
        with ThreadPoolExecutor(1) as writer:
            for written in begun(writer.submit(self._write, entries) for entries in blocks):
                written.result()
        self._refresh()
        self._recognise(seen)
        gone = [item for item in self._known if item not in seen]
        for start in range(0, len(gone), _AT_ONCE):
            self.store.delete(Compare("item", "in", tuple(gone[start : start + _AT_ONCE])))
        self.changes.deleted = len(gone)
        return self.changes

    def check(self, items: Iterable[Item]) -> None:
        """`SensoriumError` where two items share an id, and where none of those that are known is among them: a folder that is
        not mounted, or another one, is no reason to forget a collection. Items that come one by one are checked by `run`."""
        if isinstance(items, Sequence) and not isinstance(items, Lazy):
            _once(item.id for item in items)
            self._recognise({item_of(key(item.id)) for item in items})

    def _recognise(self, seen: set[str]) -> None:
        if self._known and seen.isdisjoint(self._known):
            raise SensoriumError(
                f"none of the {len(self._known)} items of this collection is among the {len(seen)} that were found now, so none "
                "was removed: is it the right folder, and all of it there? To replace the collection: sensorium index … --anew"
            )

    def _todo(self, items: Iterable[Item], seen: set[str], done: Progress) -> Iterator[Item]:
        for item in items:
            written = item_of(key(item.id))
            if written in seen:
                raise SensoriumError(f"two items are called {item.id!r}: each needs an id of its own")
            seen.add(written)
            known = self._known.get(written)
            before = Stamp.from_json(known.stamp) if known and known.whole else None
            now = stamp(item, self.root, before)
            if before and known and same(before, now) and not (known.troubled and self.retry):
                self.changes.unchanged += 1
                if now != before:  # another time, the same bytes: the next run need not read them again
                    self._touched[written] = now
                done(1)
            else:
                self._stamps[item.id] = now
                yield item

    def _write(self, entries: list[Entry]) -> None:
        if self._begin is not None:
            self._waiting += entries
            if not any(entry.fields for entry in entries):
                return
            entries, self._waiting = self._waiting, []
        stamped = [replace(entry, stamp=self._stamps.pop(entry.row.id).to_json()) for entry in entries]
        self.loss.look(stamped)
        rows = converted(
            table(stamped if self._prefix is None else [_cut(entry, self._prefix) for entry in stamped]), self.precision
        )
        if self._begin is not None:
            self.store, self._begin = self._begin(), None
        written = [item_of(key(entry.row.id)) for entry in entries]
        old = tuple(item for item in written if item in self._known)
        self.store.upsert(rows, Compare("item", "in", old) if old else None)
        read = [item in self._known for item, entry in zip(written, entries, strict=True) if entry.fields]
        self.changes.changed += sum(read)
        self.changes.added += len(read) - sum(read)
        self.changes.failed += len(entries) - len(read)

    def _refresh(self) -> None:
        written = list(self._touched)
        for start in range(0, len(written), _AT_ONCE):
            some = written[start : start + _AT_ONCE]
            rows = self.store.get([key(item) for item in some])
            stamps = pa.array([self._touched[item].to_json() for item in some], pa.string())
            self.store.upsert(rows.set_column(rows.column_names.index("stamp"), "stamp", stamps))


def _gathered(blocks: Iterable[list[Entry]], done: Progress) -> Iterator[list[Entry]]:
    """Blocks together, as each write costs: up to `_AT_ONCE` items, or what `_OFTEN` seconds made."""
    held, since = [], time.monotonic()
    for block in blocks:
        held += block
        done(len(block))
        if len(held) + len(block) > _AT_ONCE or time.monotonic() - since >= _OFTEN:
            yield held
            held, since = [], time.monotonic()
    if held:
        yield held


def _cut(entry: Entry, prefix: Prefix) -> Entry:
    pieces = (
        piece._replace(vectors={name: prefix.first(z[None])[0] for name, z in piece.vectors.items()}) for piece in entry.pieces
    )
    return replace(entry, pieces=tuple(pieces))


def _known(store: Store) -> dict[str, _Known]:
    if not store.schema.names:
        return {}
    found: dict[str, int] = {}
    firsts: dict[str, tuple[str, int, bool]] = {}
    for some in store.scan([KEY, "part", "parts", "stamp", "problems"], rows=8192):
        for place, part, parts, told, problems in zip(*(column.to_pylist() for column in some.columns), strict=True):
            item = item_of(place)
            found[item] = found.get(item, 0) + 1
            if part == 0:
                firsts[item] = told or "", parts, problems is not None
    return {item: _Known(*firsts.get(item, ("", 0, False)), count) for item, count in found.items()}


def _once(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for id in ids:
        if id in seen:
            raise SensoriumError(f"two items are called {id!r}: each needs an id of its own")
        seen.add(id)
