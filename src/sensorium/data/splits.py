"""Train and validation by a hash of the item's id: an item stays on its side when others come or go."""

import hashlib
from collections.abc import Iterable

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Item

SPLITS = ("train", "validation", "all")


def split(items: Iterable[Item], name: str, fraction: float = 0.1) -> tuple[Item, ...]:
    """The items of "train", "validation" (about `fraction` of them, perhaps none of a few) or "all", in their order."""
    if name not in SPLITS:
        raise UnknownName(f"no split is called {name!r}.{nearest(name, SPLITS)}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction}: expected 0 to 1")
    return tuple(item for item in items if name == "all" or (place(item.id) < fraction) == (name == "validation"))


def place(id: str) -> float:
    """A number in [0, 1) that depends on the id only; those below the fraction are validation."""
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
