"""Collections from one store to another, with proof that all has arrived."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.core.errors import SensoriumError
from sensorium.search.exact import beside, by_pass, of_table, recall, scored
from sensorium.search.precision import converted
from sensorium.search.store import KEY, Store, vectors
from sensorium.search.where import Compare

SAMPLE, NEAREST = 100, 10
_ROWS = 1024


def push(
    source: Store,
    target: Store,
    progress: Callable[[int], None] | None = None,
    precision: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Makes `target` hold the rows of `source` and no others, and verifies it: equal counts and checksums, and for each column of
    vectors the recall of the target's search beside an exact one of the source. `precision`: with vectors kept in another way.
    `overwrite`: also where the target holds a collection of another folder, which is gone then. `SensoriumError` where anything
    is missing, or the target is of another folder, model or precision."""
    frozen, about = source.snapshot(), target.about if target.count() else {}
    if about and about.get("fingerprint") != frozen.about.get("fingerprint"):
        raise SensoriumError(
            f"the target holds a collection of another model (fingerprint {about.get('fingerprint')}, here "
            f"{frozen.about.get('fingerprint')}): remove it first, or push to another place"
        )
    if about and not overwrite and (theirs := about.get("root")) != (ours := frozen.about.get("root")):
        raise SensoriumError(
            f"the target holds a collection of {theirs or 'no folder'}, and this one is of {ours or 'no folder'}: give "
            "--overwrite (overwrite=True) to lose that one, or push to another place"
        )
    has = frozen.about.get("precision", "f32")
    wanted = precision or has
    if about and (theirs := about.get("precision", "f32")) != wanted:
        raise SensoriumError(f"the target keeps its vectors as {theirs}, not as {wanted}: push to another place")
    said = frozen.about | ({} if wanted == has else {"precision": wanted})
    target.describe(said | {"complete": False})
    stays: set[str] = set()
    for rows in frozen.scan(rows=_ROWS):
        target.upsert(rows if wanted == has else converted(rows, wanted))
        stays.update(rows[KEY].to_pylist())
        if progress:
            progress(len(rows))
    gone = [key for rows in target.scan([KEY], rows=_ROWS) for key in rows[KEY].to_pylist() if key not in stays]
    for start in range(0, len(gone), _ROWS):
        target.delete(Compare(KEY, "in", tuple(gone[start : start + _ROWS])))
    indexes = target.optimize()
    said |= {"indexes": {name: index._asdict() for name, index in indexes.items()}}
    target.describe(said)
    told = verified(frozen, target, None if wanted == has else wanted)
    if wanted != has:
        sizes = {name: target.count(Compare(name, "known")) for name in told["recall"]}
        target.describe(said | {"lost": {name: {"recall": r, "among": sizes[name]} for name, r in told["recall"].items()}})
    return told


def verified(source: Store, target: Store, precision: str | None = None) -> dict[str, Any]:
    """Counts, checksum and recall of a copy (with vectors kept in another way); `SensoriumError` where it is none."""
    counts = source.count(), target.count()
    if counts[0] != counts[1]:
        raise SensoriumError(f"{counts[1]} rows arrived of {counts[0]}: push again")
    digests = checksum(source, precision), checksum(target)
    if digests[0] != digests[1]:
        raise SensoriumError(f"the rows that arrived are not those that were sent (SHA-256 {digests[1]}, expected {digests[0]})")
    found = {name: _recall(source, target, name) for name in vectors(source.schema)}  # the target may have had others before
    return {"rows": counts[0], "sha256": digests[0], "recall": found}


def checksum(store: Store, precision: str | None = None) -> str:
    """SHA-256 of what all rows hold, in the order of their keys: equal for equal rows in any store. `precision`: of what they
    would hold with their vectors kept so."""
    digest = hashlib.sha256()
    names = sorted(store.schema.names)
    empty = {name for name in names if not store.count(Compare(name, "known"))}  # a column of nulls is no column
    for rows in store.scan([name for name in names if name not in empty], rows=_ROWS):
        rows = rows if precision is None else converted(rows, precision)
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


def _recall(source: Store, target: Store, name: str) -> float:
    """Of the target's search beside an exact one of the source, for some of its vectors, which are a little off their places."""
    there, total = Compare(name, "known"), source.count(Compare(name, "known"))
    chosen = set(np.linspace(0, total - 1, min(SAMPLE, total)).astype(int).tolist()) if total else set()
    some, at = [], 0
    for rows in source.scan([KEY, name], there, rows=_ROWS):
        some += [x for i, x in enumerate(of_table(rows, name).numbers()) if at + i in chosen]
        at += len(rows)
    if not some:
        return 1.0
    queries = beside(np.stack(some), seed=1)
    exact = by_pass(source.scan([KEY, name], there, rows=_ROWS), name, queries, NEAREST)
    found = target.search(name, queries, NEAREST)
    if target.schema.field(name).type != source.schema.field(name).type:
        own = source.get(sorted({hit.id for hits in found for hit in hits}), [KEY, name])
        found = scored(found, of_table(own, name), queries)
    return round(recall(found, exact), 4)
