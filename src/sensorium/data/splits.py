"""Train, validation and test by a hash of an item's group or id: an item stays on its side when others come or go."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Item
from sensorium.data.listing import Lazy
from sensorium.data.sides import TRAIN_OR_VALIDATION, known

SPLITS = ("train", "validation", "test", "all")


class Chosen(Sequence[Item]):
    """Some of a lazy sequence of items, made as they are asked for."""

    def __init__(self, items: Lazy, rows: Int[np.ndarray, " N"]):
        self.items, self.rows = items, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, i: int) -> Item: ...
    @overload
    def __getitem__(self, i: slice) -> "Chosen": ...
    def __getitem__(self, i: int | slice) -> "Item | Chosen":
        return Chosen(self.items, self.rows[i]) if isinstance(i, slice) else self.items[int(self.rows[i])]

    def sides(self) -> tuple[list[str], list[str]]:
        names, said = self.items.sides()
        return [names[row] for row in self.rows], [said[row] for row in self.rows]

    def fingerprint(self) -> str:
        return hashlib.sha256(self.items.fingerprint().encode() + self.rows.astype(np.int64).tobytes()).hexdigest()


def split(items: Iterable[Item], name: str, fraction: float = 0.1, test: float = 0.0) -> Sequence[Item]:
    """The items of "train", "validation" (about `fraction` of them, perhaps none of a few), "test" (about `test` of them) or
    "all", in their order; a lazy sequence for a lazy one.

    An item that its source puts in a split (`metadata["split"]`: train, validation, test) stays there; one that it puts in
    "train or validation" (it has a test split, but no validation) is never in test. The others go by a hash of their group,
    or else of their id: items of one group are on one side, and no item moves when others are added, nor out of validation
    when `test` grows.
    """
    if name not in SPLITS:
        raise UnknownName(f"no split is called {name!r}.{nearest(name, SPLITS)}")
    for what, share in (("fraction", fraction), ("test", test)):
        if not 0 <= share <= 1:
            raise ValueError(f"{what} {share}: expected 0 to 1")
    if fraction + test > 1:
        raise ValueError(f"fraction {fraction} and test {test} are more than all there is")
    if not isinstance(items, Lazy) or not isinstance(items, Sequence):
        return tuple(item for item in items if name in ("all", side(item, fraction, test)))
    if name == "all":
        return items
    names, said = items.sides()
    sides = (_side(by, own, fraction, test) for by, own in zip(names, said, strict=True))
    return Chosen(items, np.flatnonzero(np.fromiter((one == name for one in sides), bool)))


def side(item: Item, fraction: float = 0.1, test: float = 0.0) -> str:
    """The split that an item is in: "train", "validation" or "test"."""
    return _side(item.group or item.id, str(item.metadata.get("split", "")), fraction, test)


def place(name: str) -> float:
    """A number in [0, 1) that depends on the name only; below the fraction is validation, the highest ones are test."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def _side(name: str, said: str, fraction: float, test: float) -> str:
    """The split of what goes by `name`, of which its source says `said`."""
    return known(said) or _by_hash(name, fraction, 0.0 if said == TRAIN_OR_VALIDATION else test)


def _by_hash(name: str, fraction: float, test: float) -> str:
    at = place(name)
    return "validation" if at < fraction else "test" if at >= 1 - test else "train"
