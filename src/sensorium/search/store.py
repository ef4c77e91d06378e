"""What a store of rows and vectors does for a collection. A driver is anything that fits the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Row:
    """What is known of an item besides its vectors. `paths` holds a file a kind, relative to the collection's root."""

    id: str
    paths: dict[str, str] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


class Entry(NamedTuple):
    """One item as it goes into a store: a vector for each field that it has, and a JPEG where there is a picture."""

    row: Row
    vectors: dict[str, Float[np.ndarray, " D"]]
    thumbnail: bytes | None = None


@runtime_checkable
class Store(Protocol):
    """Rows keyed by their id, numbered from 0 in the order in which the ids first came, with vectors by field.

    What `upsert` takes is seen by the other verbs, and is on the disk, after `commit`; until then the old rows are.
    """

    @property
    def about(self) -> dict[str, Any]:
        """What the last commit said of the whole (its model, its fields): a dict that JSON can hold."""
        ...

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Adds items, or replaces those whose ids are known: their old vectors and thumbnail go."""
        ...

    def commit(self, about: dict[str, Any]) -> None: ...

    def get(self, rows: Sequence[int]) -> list[Row]: ...

    def thumbnail(self, row: int) -> bytes | None: ...

    def search(self, name: str, vector: Float[np.ndarray, " D"], k: int) -> list[tuple[int, float]]:
        """The `k` rows whose vectors of the field `name` have the largest dot products with `vector`, as (row, score).

        Best first, equal scores by row; fewer than `k` where fewer rows have that field.
        """
        ...

    def vectors(self, name: str, rows: Sequence[int] | None = None) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, "M D"]]:
        """The numbers, ascending, and the vectors of the rows that have the field `name`, of all or of those of `rows`."""
        ...

    def count(self, name: str | None = None) -> int:
        """How many rows there are, or how many have a vector of the field `name`."""
        ...

    def close(self) -> None: ...
