"""Collections from one store to another, with proof that all has arrived."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.core.errors import SensoriumError
from sensorium.search.exact import by_pass, of_table, recall
from sensorium.search.store import KEY, Store, vectors
from sensorium.search.where import Compare

SAMPLE, NEAREST = 100, 10
_ROWS = 1024


def push(source: Store, target: Store, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Makes `target` hold the rows of `source` and no others, and verifies it: equal counts and checksums, and for each column of
    vectors the recall of the target's search. `SensoriumError` where anything is missing, or the target is of another model."""
    frozen, about = source.snapshot(), target.about
    if about and about.get("fingerprint") != frozen.about.get("fingerprint"):
        raise SensoriumError(
            f"the target holds a collection of another model (fingerprint {about.get('fingerprint')}, here "
            f"{frozen.about.get('fingerprint')}): remove it first, or push to another place"
        )
    target.describe(frozen.about | {"complete": False})
    stays: set[str] = set()
    for rows in frozen.scan(rows=_ROWS):
        target.upsert(rows)
        stays.update(rows[KEY].to_pylist())
        if progress:
            progress(len(rows))
    gone = [key for rows in target.scan([KEY], rows=_ROWS) for key in rows[KEY].to_pylist() if key not in stays]
    for start in range(0, len(gone), _ROWS):
        target.delete(Compare(KEY, "in", tuple(gone[start : start + _ROWS])))
    indexes = target.optimize()
    target.describe(frozen.about | {"indexes": {name: index._asdict() for name, index in indexes.items()}})
    return verified(frozen, target)


def verified(source: Store, target: Store) -> dict[str, Any]:
    """Counts, checksum and recall of a copy; `SensoriumError` where it is none."""
    counts = source.count(), target.count()
    if counts[0] != counts[1]:
        raise SensoriumError(f"{counts[1]} rows arrived of {counts[0]}: push again")
    digests = checksum(source), checksum(target)
    if digests[0] != digests[1]:
        raise SensoriumError(f"the rows that arrived are not those that were sent (SHA-256 {digests[1]}, expected {digests[0]})")
    return {"rows": counts[0], "sha256": digests[0], "recall": {name: _recall(target, name) for name in vectors(target.schema)}}


def checksum(store: Store) -> str:
    """SHA-256 of what all rows hold, in the order of their keys: equal for equal rows in any store."""
    digest = hashlib.sha256()
    names = sorted(store.schema.names)
    empty = {name for name in names if not store.count(Compare(name, "known"))}  # a column of nulls is no column
    for rows in store.scan([name for name in names if name not in empty], rows=_ROWS):
        for name in rows.column_names:
            digest.update(name.encode() + np.packbits(np.asarray(rows[name].is_valid())).tobytes())
            kind = rows.schema.field(name).type
            if pa.types.is_fixed_size_list(kind):
                digest.update(of_table(rows, name).x.tobytes())
            elif pa.types.is_large_binary(kind):
                digest.update(b"".join(hashlib.sha256(one or b"").digest() for one in rows[name].to_pylist()))
            else:
                digest.update(json.dumps(rows[name].to_pylist()).encode())
    return digest.hexdigest()


def _recall(store: Store, name: str) -> float:
    """Of the store's search beside an exact one, for some of its own vectors, which are a little off their places."""
    there, total = Compare(name, "known"), store.count(Compare(name, "known"))
    chosen = set(np.linspace(0, total - 1, min(SAMPLE, total)).astype(int).tolist()) if total else set()
    some, at = [], 0
    for rows in store.scan([KEY, name], there, rows=_ROWS):
        some += [x for i, x in enumerate(of_table(rows, name).x) if at + i in chosen]
        at += len(rows)
    if not some:
        return 1.0
    x = np.stack(some)
    queries = (x + np.random.default_rng(1).normal(0, x.std() / 2, x.shape)).astype(np.float32)
    exact = by_pass(store.scan([KEY, name], there, rows=_ROWS), name, queries, NEAREST)
    return round(recall(store.search(name, queries, NEAREST), exact), 4)
