"""What a collection holds of some items, taken out at once: the vectors themselves."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import UnknownName, nearest
from sensorium.search.collection import Collection
from sensorium.search.precision import numbers, stored
from sensorium.search.rows import column, item_of, key
from sensorium.search.where import Compare


def direction(collection: Collection, id: str) -> Float[np.ndarray, " D"]:
    """Where an item lies: the sum of its directions by field (see `vectors`), made a unit vector. `UnknownName` where there is
    none of that id."""
    names = [column("vector", name) for name in collection.fields]
    first = collection.store.get([key(id)], ["parts", *names])
    others = collection.store.get([key(id, part) for part in range(1, first["parts"][0].as_py())], names)
    total = np.zeros((), np.float32)
    for name in names:
        x = np.concatenate([numbers(stored(some[name])) for some in (first, others)])
        if len(x):
            total = total + x.sum(0) / max(float(np.linalg.norm(x.sum(0))), 1e-9)
    return total / max(float(np.linalg.norm(total)), 1e-6)


def vectors(
    collection: Collection, name: str, ids: Sequence[str] | None = None, most: int | None = None
) -> tuple[list[str], Float[np.ndarray, "M D"]]:
    """The ids and unit vectors of the items that have the field `name`, in the order of the store's keys: of all, or of those of
    `ids` that have it; with `most`, of so many of them in equal steps. Of an item of several pieces it is the direction of their
    mean. `UnknownName` for a field of which there are none."""
    if name not in collection.fields:
        raise UnknownName(f"the collection has no vectors of a field {name!r}.{nearest(name, collection.fields)}")
    having = Compare(column("has", name), "=", True)
    every = [item for some in collection.store.scan(["item"], having) for item in some["item"].to_pylist()] if ids is None else []
    if ids is not None:
        every = [item_of(key(id)) for id in ids]
    elif most is not None and len(every) > most:
        every = [every[i * len(every) // most] for i in range(most)]
    wanted = set(every)
    chosen = None if ids is None else Compare("item", "in", tuple(wanted))
    sums: dict[str, np.ndarray] = {}
    for some in collection.store.scan(["item", column("vector", name)], chosen):
        found = some[column("vector", name)]
        there = numbers(stored(found))  # those that are not null
        items = [item for item, valid in zip(some["item"].to_pylist(), found.is_valid().to_pylist(), strict=True) if valid]
        for item, vector in zip(items, there, strict=True):
            if item in wanted:
                sums[item] = sums[item] + vector if item in sums else vector
    out = np.array(list(sums.values()), np.float32).reshape(len(sums), -1)
    return list(sums), out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
