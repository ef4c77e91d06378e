"""A searchable set of items: a vector for each field that an item has, and what a person needs to recognise it by.

Vectors have unit length, so a score is a cosine. A collection remembers the fingerprint of the model that made it and
refuses the queries of any other: their cosines would be numbers without a meaning.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.core.protocols import Item, Raw
from sensorium.data.listing import Problem
from sensorium.search.about import check, described, dims_of, finish, placed, refusal
from sensorium.search.centre import Centred, centred, suited, told
from sensorium.search.embed import Model, unit
from sensorium.search.facts import columns_of
from sensorium.search.lately import Lately
from sensorium.search.places import erase, store_at
from sensorium.search.rows import MOST_PIECES, Row, column, item_of, key, row_of
from sensorium.search.store import Store
from sensorium.search.update import Changes, Progress, Update
from sensorium.search.where import Compare, Every, Where, parse

FIRST = Every((Compare("part", "=", 0), Compare("parts", ">", 0)))
"""The rows that stand for whole items, of which something could be embedded."""
T = TypeVar("T")
_FEW = 10_000  # ids among which the nearest is looked for


@dataclass(frozen=True)
class Hit:
    """An item that was found. `score` is the cosine of the query and the item's nearest vector of `field`, its nearest.

    `path` is the file of that field, else the item's first file; `caption` the passage that was found, else its first caption, or
    empty; `start` and `end`: the seconds of a sound or film that were found, None where all of it was; `alike`: ids of others
    that are nearly the same, where they were looked for; `paths`: a file a kind, relative to the collection's root; `late`: its
    score by its tokens, where it was ranked anew by these (see `late.rerank`).
    """

    id: str
    score: float
    field: str
    path: str | None
    caption: str
    metadata: dict[str, Any]
    start: float | None = None
    end: float | None = None
    alike: tuple[str, ...] = ()
    paths: dict[str, str] = default(default_factory=dict)
    late: float | None = None


class Collection:
    """Open one with `Collection.open`, make one with `Collection.update`."""

    def __init__(self, store: Store, changes: Changes | None = None, place: Path | str | None = None):
        self.store, self.place = store, place
        self.changes = changes or Changes()
        self._counted: tuple[int, dict[str, int]] = (-1, {})
        self._lately = Lately(store, ["starts", "ends", "passage", "record"])

    @classmethod
    def update(
        cls,
        model: Model,
        items: Iterable[Item],
        out: Path | str,
        *,
        root: Path | None = None,
        model_path: Path | str | None = None,
        progress: Progress | None = None,
        anew: bool = False,
        retry: bool = False,
        centre: bool = False,
        precision: str | None = None,
    ) -> "Collection":
        """Makes the collection at `out` hold these items and no others: new and changed ones are embedded, those that are gone
        are removed (see `.changes` of the result). Killed at any moment, it goes on where it was when it is called again.

        `root`: the folder of the items; `model_path`: where the model can be loaded from, remembered for later queries;
        `progress` is called with the number of items done since its last call; `anew`: make all of it new, which another model
        takes, in place of what is there, which goes when the first of the new is there; `retry`: try again what could not be
        read; `centre`: take the mean of its field out of each vector, and of those of queries, which the collection remembers
        (see `search.centre`); `precision`: f32, f16, int8 or binary, by default what the collection has, of a new one f32.
        A `SensoriumError` if nothing could be read, if two items share an id, or if no item of the collection is among these, of
        which nothing is done then.
        """
        root = root.resolve() if root else None
        items = items if isinstance(items, Sequence) or not (anew or centre) else list(items)
        store = store_at(out, create=True)
        fresh = anew or not store.count()  # an empty place remembers nothing that counts
        about, facts = {} if fresh else store.about, None
        model = suited(model, about)
        if about and about.get("fingerprint") != model.fingerprint:
            raise SensoriumError(refusal(about, model, out, root, model_path, centre, precision))
        if centre and about and not about.get("means"):
            raise SensoriumError(f"{out} is there, and not centred: make it anew with: sensorium index … --centre --anew")
        has = about.get("precision", "f32") if about else precision or "f32"
        if precision not in (None, has):
            raise SensoriumError(
                f"this collection keeps its vectors as {has}, not as {precision}: leave the precision out, make all of it anew "
                "(--anew), or push it elsewhere: sensorium collection push … --precision"
            )
        if centre and not about and isinstance(items, Sequence):
            model, facts = centred(model, items, root)
        kinds = {field.name: field.kind for field in model.fields}
        if isinstance(model, Centred) and facts:
            about |= {"means": told(model), "centred": facts}
        where = None if model_path is None else placed(model_path)
        about |= described(model.fingerprint, where, kinds, root, dims_of(model), has)
        begin = partial(_begun, store, out, about, anew) if fresh else None
        update = Update(store, model, root, retry, has, begin)
        update.check(items)
        if not fresh:
            store.describe(about | {"complete": False})
        changes = update.run(items, progress)
        made = cls(update.store, changes, out)
        if update.waits or not len(made):
            problems = update.problems if update.waits else made.problems
            why = f" The first problem: {problems[0].path}: {problems[0].cause}" if problems else " There are no items."
            raise SensoriumError(f"nothing could be embedded for {out}.{why}")
        lost = about.get("lost", {})
        new = {name: one for name, one in update.loss.told().items() if one["among"] >= lost.get(name, one)["among"]}
        about |= {"lost": lost | new} if lost or new else {}
        finish(update.store, about, changed=bool(changes.added or changes.changed or changes.deleted))
        return made

    @classmethod
    def open(cls, place: Path | str) -> "Collection":
        """The collection in a folder or at an address (see `places.store_at`); `BadFile` where there is none."""
        store = store_at(place)
        check(store, place)
        return cls(store, place=place)

    def __len__(self) -> int:
        return self._counts()[""]

    def close(self) -> None:
        self.store.close()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that at least one item has a vector of."""
        return tuple(self.counts)

    @property
    def counts(self) -> dict[str, int]:
        """How many items have each of the fields."""
        counts = self._counts()
        return {name: counts[name] for name in self._about["kinds"] if counts.get(name)}

    @property
    def fingerprint(self) -> str:
        return self._about["fingerprint"]

    @property
    def model_path(self) -> str | None:
        """Where the model was loaded from when the collection was made, if that is known: a directory, or an id on the Hub."""
        return self._about["model"]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be read of the items that there are."""
        if not self.store.schema.names:
            return ()
        told = self.store.scan(["problems"], Compare("problems", "known"))
        return tuple(Problem(**one) for some in told for text in some["problems"].to_pylist() for one in json.loads(text))

    def row(self, id: str) -> Row:
        """What is known of an item. `UnknownName` where the collection has none of that id."""
        return row_of(self._first(id)["record"])

    def page(self, after: str | None = None, k: int = 100, where: Where | str | None = None) -> list[Row]:
        """At most `k` items in the order of their ids, those that come after the id `after` (which need not be there any more);
        `where` as for `search`."""
        if k < 1:
            raise SensoriumError(f"k is {k}: ask for at least one item")
        if not self.store.schema.names:
            return []
        condition = FIRST if where is None else Every((FIRST, self._condition(where)))
        found = self.store.scan(["record"], condition, None if after is None else key(after, MOST_PIECES), most=k)
        return [row_of(record) for some in found for record in some["record"].to_pylist()]

    def file(self, id: str, kind: str) -> Path | None:
        """Where the item's file of a kind was when the collection was made; None if it has none."""
        path = self.row(id).paths.get(kind)
        return None if path is None else self._root / path

    def thumbnail(self, id: str) -> bytes | None:
        """A JPEG of at most 160 pixels a side; None where the item has no picture."""
        self._first(id)
        return self.store.get([key(id)], ["thumbnail"])["thumbnail"][0].as_py()

    def search(
        self,
        vectors: dict[str, Float[np.ndarray, " D"]] | Float[np.ndarray, " D"],
        k: int = 10,
        within: Sequence[str] | None = None,
        where: Where | str | None = None,
    ) -> list[Hit]:
        """The `k` items nearest to a query, best first, equal scores in the order of their ids; all if there are fewer.

        `vectors`: one vector, or one for each field that the query has, which are normalised and summed. An item's score
        is its best over the fields `within` and over its parts, and items that have none of these are not found. Without
        `within`: the fields that the query does *not* have, as two pictures are nearer to each other than a picture is to its own
        caption (the modality gap); if there are no such fields, those of the query. `where`: only items whose metadata say so,
        as in `"year > 2020 and kind = 'video'"` (see `where.parse`); `kind` and `id` may be asked for too.
        """
        parts = vectors if isinstance(vectors, dict) else {"": vectors}
        directions = [unit(vector) for vector in parts.values()]
        if not directions or any(d is None for d in directions):
            raise SensoriumError("a query needs at least one vector, of finite numbers and not all zero")
        return self.find(np.sum([d for d in directions if d is not None], axis=0), set(parts), k, within, where)

    def query(
        self,
        model: Model,
        /,
        k: int = 10,
        within: Sequence[str] | None = None,
        where: Where | str | None = None,
        **raws: Raw,
    ) -> list[Hit]:
        """Like `search`, for raw things by field: `collection.query(model, text="a red bicycle", image=[path, path])`.

        Each raw thing weighs the same; `mixed.query` gives them weights. `SensoriumError` if `model` is not the one that made the
        collection.
        """
        model = self.check(model)
        known = [field.name for field in model.fields]
        for name in raws:
            if name not in known:
                raise UnknownName(f"the model has no field {name!r}.{nearest(name, known)}")
        lists = {name: raw if isinstance(raw, list) else [raw] for name, raw in raws.items()}
        if not lists or not all(lists.values()):
            raise SensoriumError(f"an empty query: give something to look for, by field: {', '.join(known)}")
        encoded = model.encode(**lists)
        return self.find(np.sum([z.sum(0) for z in encoded.values()], axis=0), set(lists), k, within, where)

    def check(self, model: Model) -> Model:
        """The model that queries go through (`Prefix` or `Centred`, where the collection has other vectors than it makes);
        `SensoriumError` where the collection is not of this model."""
        about = self._about
        model = suited(model, about)
        if model.fingerprint != about["fingerprint"]:
            raise SensoriumError(refusal(about, model, self.place))
        return model

    def find(
        self,
        total: Float[np.ndarray, " D"],
        asked: set[str],
        k: int = 10,
        within: Sequence[str] | None = None,
        where: Where | str | None = None,
    ) -> list[Hit]:
        """`search` by a sum of vectors that is of the fields `asked`."""
        return self.steadily(lambda: self._hits([place for _, place in self._best(total, asked, k, within, where)]))

    def ranked(
        self,
        total: Float[np.ndarray, " D"],
        asked: set[str],
        k: int = 10,
        within: Sequence[str] | None = None,
        where: Where | str | None = None,
    ) -> list[tuple[str, float]]:
        """(item, score) of what `find` finds, with items as the store calls them (`rows.item_of`); nothing else is looked up."""
        with self.store.steady():
            return [(item, score) for item, (score, _, _) in self._best(total, asked, k, within, where)]

    def steadily(self, work: Callable[[], T]) -> T:
        """What `work()` gives of one version of the collection, where its store can hold on to one (see `Store.steady`); done
        again where something was removed meanwhile."""
        while True:
            version = -1
            try:
                with self.store.steady():
                    version = self.store.version
                    return work()
            except UnknownName:  # somebody may have removed what was found before it was looked up
                if version == self.store.version:
                    raise

    def _best(
        self, total: Float[np.ndarray, " D"], asked: set[str], k: int, within: Sequence[str] | None, where: Where | str | None
    ) -> list[tuple[str, tuple[float, str, str]]]:
        """The `k` best items, each with its score, and the field and the key of the piece that has it."""
        if k < 1:
            raise SensoriumError(f"k is {k}: ask for at least one item")
        query = unit(total)
        if query is None:
            raise SensoriumError("the query has no direction: its vectors cancel each other out, or are not finite")
        condition = None if where is None else self._condition(where)
        best: dict[str, tuple[float, str, str]] = {}
        for name in self.searched(asked, within):
            for item, (score, piece) in self._items(column("vector", name), query, k, condition).items():
                if item not in best or score > best[item][0]:
                    best[item] = score, name, piece
        return sorted(best.items(), key=lambda one: (-one[1][0], one[0]))[:k]

    def _condition(self, where: Where | str) -> Where:
        return columns_of(parse(where) if isinstance(where, str) else where, self.store.schema)

    def _items(self, name: str, query: Float[np.ndarray, " D"], k: int, where: Where | None) -> dict[str, tuple[float, str]]:
        """At least the `k` nearest items by their best pieces, (score, key of the piece) each. Pieces of one item may be nearer
        than all others, so more and more are asked for."""
        amount = k
        while True:
            (found,) = self.store.search(name, query[None], amount, where)
            best: dict[str, tuple[float, str]] = {}
            for one in found:
                best.setdefault(item_of(one.id), (one.score, one.id))
            if len(best) >= k or len(found) < amount:
                return best
            amount *= 4

    def _hits(self, found: Sequence[tuple[float, str, str]]) -> list[Hit]:
        """What is known of (score, field, key of a piece)."""
        keys = [piece for _, _, piece in found]
        known = self._lately.get([*keys, *(key(item_of(piece)) for piece in keys)])
        out, about = [], self._about
        root = Path(about["root"] or ".")
        for (score, name, _), piece, first in zip(found, known[: len(found)], known[len(found) :], strict=True):
            row = row_of(first["record"])
            path = row.paths.get(about["kinds"][name]) or next(iter(row.paths.values()), None)
            caption = piece["passage"] or (row.captions[0] if row.captions else "")
            whole, seconds = None if path is None else str(root / path), (piece["starts"], piece["ends"])
            out.append(Hit(row.id, score, name, whole, caption, row.metadata, *seconds, paths=row.paths))
        return out

    def searched(self, asked: set[str], within: Sequence[str] | None = None) -> Sequence[str]:
        """The fields that a query of the fields `asked` searches: those of `within`, else what `search` says."""
        fields = self.fields
        if within is None:
            return [name for name in fields if name not in asked] or fields
        if isinstance(within, str):
            within = [within]
        for name in within:
            if name not in fields:
                raise UnknownName(f"the collection has no vectors of a field {name!r}.{nearest(name, fields)}")
        if not within:
            raise SensoriumError(f"`within` is empty: name one of {', '.join(fields)}, or leave it out")
        return within

    def _first(self, id: str) -> dict[str, Any]:
        try:
            return self._lately.get([key(id)])[0]
        except UnknownName:
            ids = [] if len(self) > _FEW else [i for some in self.store.scan(["item"], FIRST) for i in some["item"].to_pylist()]
            raise UnknownName(f"the collection has no item {id!r}.{nearest(id, ids) if ids else ''}") from None

    def _counts(self) -> dict[str, int]:
        """Items by field, and all of them as ""; counted anew when the rows have changed."""
        version = self.store.version
        if self._counted[0] != version:
            names, counts = self.store.schema.names, {"": 0}
            if names:
                counts[""] = self.store.count(FIRST)
            for name in self.store.about.get("kinds", {}):
                if (there := column("has", name)) in names:
                    counts[name] = self.store.count(Compare(there, "=", True))
            self._counted = version, counts
        return self._counted[1]

    @property
    def _about(self) -> dict[str, Any]:
        if about := self.store.about:
            return about
        raise SensoriumError(
            "nothing is here any more: the collection was removed, or is being made anew. Try again, or make it: sensorium index"
        )

    @property
    def _root(self) -> Path:
        return Path(self._about["root"] or ".")


def _begun(store: Store, out: Path | str, about: dict[str, Any], anew: bool) -> Store:
    """The store at a place, described, and emptied of what is left there of others (all of it, where it is made `anew`).
    `SensoriumError` where rows of another collection have come meanwhile."""
    theirs = {} if anew or not store.count() else store.about
    if theirs and theirs.get("fingerprint") != about["fingerprint"]:
        raise SensoriumError(f"{out}: another collection was made here meanwhile: give a new place, or make one at a time")
    if anew or (not theirs and (store.about or store.schema.names)):
        erase(out)
        store = store_at(out, create=True)
    store.describe(about | {"complete": False})
    return store
