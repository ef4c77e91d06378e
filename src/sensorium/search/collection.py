"""A searchable set of items: a vector for each field that an item has, and what a person needs to recognise it by.

Vectors have unit length, so a score is a cosine. A collection remembers the fingerprint of the model that made it and
refuses the queries of any other: their cosines would be numbers without a meaning.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium import __version__
from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.core.protocols import Item, Raw
from sensorium.data.listing import Problem
from sensorium.search.embed import Model, embed, unit
from sensorium.search.memory import Memory
from sensorium.search.store import Row, Store


@dataclass(frozen=True)
class Hit:
    """An item that was found. `score` is the cosine of the query and the item's vector of `field`, its nearest.

    `path` is the file of that field, else the item's first file; `caption` its first caption, or empty.
    """

    id: str
    score: float
    field: str
    path: str | None
    caption: str
    metadata: dict[str, Any]


class Collection:
    """Open one with `Collection.open`, make one with `Collection.build`."""

    def __init__(self, store: Store):
        self.store = store
        self._numbers: dict[str, int] = {}

    @classmethod
    def build(
        cls,
        model: Model,
        items: Iterable[Item],
        out: Path | str,
        *,
        root: Path | None = None,
        model_path: Path | str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> "Collection":
        """Embeds every item's every modality that the model has a field for, and replaces the collection at `out`.

        `root`: the folder of the items; `model_path`: where the model can be loaded from, remembered for later queries;
        `progress` is called with the number of items done since its last call. What could not be read is in `.problems`
        of the result. A `SensoriumError` if nothing could, or if two items share an id.
        """
        store, seen, problems = Memory.create(out), set[str](), list[Problem]()
        for read, entries in embed(model, items, root, problems):
            for entry in entries:
                if entry.row.id in seen:
                    raise SensoriumError(f"two items are called {entry.row.id!r}: each needs an id of its own")
                seen.add(entry.row.id)
            store.upsert(entries)
            if progress:
                progress(read)
        if not seen:
            why = f" The first problem: {problems[0].path}: {problems[0].cause}" if problems else " There are no items."
            raise SensoriumError(f"nothing could be embedded for {out}.{why}")
        store.commit(
            {
                "fingerprint": model.fingerprint,
                "model": None if model_path is None else _place(model_path),
                "kinds": {field.name: field.kind for field in model.fields},
                "root": str(root.resolve()) if root else None,
                "problems": [asdict(problem) for problem in problems],
                "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "sensorium": __version__,
            }
        )
        return cls(store)

    @classmethod
    def open(cls, path: Path | str) -> "Collection":
        """`BadFile` where there is no collection, or a file of it is not as long as it was written."""
        return cls(Memory.open(path))

    def __len__(self) -> int:
        return self.store.count()

    def close(self) -> None:
        self.store.close()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that at least one item has a vector of."""
        return tuple(name for name in self.store.about["kinds"] if self.store.count(name))

    @property
    def fingerprint(self) -> str:
        return self.store.about["fingerprint"]

    @property
    def model_path(self) -> str | None:
        """Where the model was loaded from when the collection was made, if that is known: a directory, or an id on the Hub."""
        return self.store.about["model"]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be read when the collection was made."""
        return tuple(Problem(**problem) for problem in self.store.about["problems"])

    def row(self, id: str) -> Row:
        """What is known of an item. `UnknownName` where the collection has none of that id."""
        return self.store.get([self._number(id)])[0]

    def file(self, id: str, kind: str) -> Path | None:
        """Where the item's file of a kind was when the collection was made; None if it has none."""
        path = self.row(id).paths.get(kind)
        return None if path is None else self._root / path

    def thumbnail(self, id: str) -> bytes | None:
        """A JPEG of at most 160 pixels a side; None where the item has no picture."""
        return self.store.thumbnail(self._number(id))

    def vectors(
        self, name: str, ids: Sequence[str] | None = None, most: int | None = None
    ) -> tuple[list[str], Float[np.ndarray, "M D"]]:
        """The ids and unit vectors of the items that have the field `name`, in the collection's order: of all, or of those of
        `ids`; with `most`, of so many of them in equal steps. `UnknownName` for an item or a field that is not there."""
        self._within(set(), [name])
        rows, vectors = self.store.vectors(name, None if ids is None else [self._number(id) for id in ids])
        if most is not None and len(rows) > most:
            chosen = np.arange(most) * len(rows) // most
            rows, vectors = rows[chosen], vectors[chosen]
        return [row.id for row in self.store.get(rows.tolist())], np.asarray(vectors)

    def search(
        self,
        vectors: dict[str, Float[np.ndarray, " D"]] | Float[np.ndarray, " D"],
        k: int = 10,
        within: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The `k` items nearest to a query, best first, equal scores in the collection's order; all if there are fewer.

        `vectors`: one vector, or one for each field that the query has, which are normalised and summed. An item's score
        is its best over the fields `within`, and items that have none of these are not found. Without `within`: the
        fields that the query does *not* have, as two pictures are nearer to each other than a picture is to its own
        caption (the modality gap); if there are no such fields, those of the query.
        """
        parts = vectors if isinstance(vectors, dict) else {"": vectors}
        directions = [unit(vector) for vector in parts.values()]
        if not directions or any(d is None for d in directions):
            raise SensoriumError("a query needs at least one vector, of finite numbers and not all zero")
        return self._find(np.sum([d for d in directions if d is not None], axis=0), set(parts), k, within)

    def query(self, model: Model, /, k: int = 10, within: Sequence[str] | None = None, **raws: Raw) -> list[Hit]:
        """Like `search`, for raw things by field: `collection.query(model, text="a red bicycle", image=[path, path])`.

        Each raw thing weighs the same. `SensoriumError` if `model` is not the one that made the collection.
        """
        if model.fingerprint != self.fingerprint:
            raise SensoriumError(self._refusal(model))
        known = [field.name for field in model.fields]
        for name in raws:
            if name not in known:
                raise UnknownName(f"the model has no field {name!r}.{nearest(name, known)}")
        lists = {name: raw if isinstance(raw, list) else [raw] for name, raw in raws.items()}
        if not lists or not all(lists.values()):
            raise SensoriumError(f"an empty query: give something to look for, by field: {', '.join(known)}")
        encoded = model.encode(**lists)
        return self._find(np.sum([z.sum(0) for z in encoded.values()], axis=0), set(lists), k, within)

    def _number(self, id: str) -> int:
        if not self._numbers:
            self._numbers = {row.id: i for i, row in enumerate(self.store.get(range(len(self))))}
        if id not in self._numbers:
            raise UnknownName(f"the collection has no item {id!r}.{nearest(id, self._numbers)}")
        return self._numbers[id]

    @property
    def _root(self) -> Path:
        return Path(self.store.about["root"] or ".")

    def _find(self, total: Float[np.ndarray, " D"], asked: set[str], k: int, within: Sequence[str] | None) -> list[Hit]:
        if k < 1:
            raise SensoriumError(f"k is {k}: ask for at least one item")
        query = unit(total)
        if query is None:
            raise SensoriumError("the query has no direction: its vectors cancel each other out, or are not finite")
        best: dict[int, tuple[float, str]] = {}
        for name in self._within(asked, within):
            for row, score in self.store.search(name, query, k):
                if row not in best or score > best[row][0]:
                    best[row] = score, name
        order = sorted(best, key=lambda row: (-best[row][0], row))[:k]
        return [self._hit(*best[row], about) for row, about in zip(order, self.store.get(order), strict=True)]

    def _within(self, asked: set[str], within: Sequence[str] | None) -> Sequence[str]:
        if within is None:
            return [name for name in self.fields if name not in asked] or self.fields
        if isinstance(within, str):
            within = [within]
        for name in within:
            if name not in self.fields:
                raise UnknownName(f"the collection has no vectors of a field {name!r}.{nearest(name, self.fields)}")
        if not within:
            raise SensoriumError(f"`within` is empty: name one of {', '.join(self.fields)}, or leave it out")
        return within

    def _hit(self, score: float, name: str, row: Row) -> Hit:
        path = row.paths.get(self.store.about["kinds"][name]) or next(iter(row.paths.values()), None)
        whole = None if path is None else str(self._root / path)
        return Hit(row.id, score, name, whole, row.captions[0] if row.captions else "", row.metadata)

    def _refusal(self, model: Model) -> str:
        made_by = self.model_path or "a model at an unknown place"
        return (
            f"this collection was made by {made_by} (fingerprint {self.fingerprint}), not by the model of this query "
            f"(fingerprint {model.fingerprint}): their vectors cannot be compared. Query it with the model that made it, or "
            f"index anew: sensorium index {self.store.about['root'] or 'FOLDER'} --model MODEL --out COLLECTION"
        )


def _place(model: Path | str) -> str:
    """A directory by its whole path; what is none is the id of a repository, and stays as it is."""
    return str(Path(model).resolve()) if Path(model).exists() else str(model)
