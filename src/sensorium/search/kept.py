"""What it costs to keep vectors shorter or less precisely: bytes, and recall@10 beside all numbers as f32, as they come in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.search.exact import Vectors, nearest, recall, scored
from sensorium.search.precision import of_column, rounded, size, width
from sensorium.search.prefix import Prefix
from sensorium.search.rows import Entry, column
from sensorium.search.store import Store, vectors
from sensorium.search.where import Compare

MOST, SAMPLE, NEAREST = 20_000, 100, 10
"""Vectors of a column that are held, evenly drawn of all; queries, which are vectors a little off their places; neighbours."""


def costs(store: Store) -> dict[str, dict[str, Any]]:
    """By columns of vectors: how many `vectors`, of how many `numbers`, their `precision`, their `bytes` (without a store's own
    packing), and the `recall`@10 beside all numbers as f32, `among` so many; None where nothing was left out."""
    out: dict[str, dict[str, Any]] = {}
    for name in vectors(store.schema):
        kind, count = store.schema.field(name).type, store.count(Compare(name, "known"))
        out[name] = {"vectors": count, "numbers": width(kind), "precision": of_column(kind), "bytes": count * size(kind)}
        out[name] |= store.about.get("lost", {}).get(name, {"recall": None, "among": None})
    return out


def words(one: dict[str, Any]) -> str:
    """What `costs` says of a column, for people."""
    told = f"{one['vectors']:,} × {one['numbers']} {one['precision']}, {one['bytes'] / 1e6:.1f} MB"
    if one["recall"] is None:
        return told
    return f"{told}, recall@10 {one['recall']:.3f} beside all numbers as f32 among {one['among']:,}"


class Loss:
    """Looks at vectors before they are cut and rounded, and holds some."""

    def __init__(self, prefix: Prefix | None, precision: str):
        self.prefix, self.precision = prefix, precision
        self._held: dict[str, list[np.ndarray]] = {}
        self._seen: dict[str, int] = {}
        self._rng = np.random.default_rng(0)

    def look(self, entries: Sequence[Entry]) -> None:
        if self.prefix is None and self.precision == "f32":  # nothing is lost
            return
        for name, x in (pair for entry in entries for piece in entry.pieces for pair in piece.vectors.items()):
            held, seen = self._held.setdefault(name, []), self._seen.get(name, 0)
            self._seen[name] = seen + 1
            if len(held) < MOST:
                held.append(x)
            elif (place := int(self._rng.integers(seen + 1))) < MOST:
                held[place] = x

    def told(self) -> dict[str, dict[str, Any]]:
        """By columns of vectors: `recall`, and of how many vectors among which was looked (`among`)."""
        return {column("vector", name): self._measured(np.stack(held)) for name, held in self._held.items()}

    def _measured(self, x: Float[np.ndarray, "M D"]) -> dict[str, Any]:
        ids = np.array([f"{i:06d}" for i in range(len(x))], object)
        some = x[np.linspace(0, len(x) - 1, min(SAMPLE, len(x))).astype(int)]
        queries = (some + self._rng.normal(0, x.std() / 2, some.shape)).astype(np.float32)
        cut = (lambda z: z) if self.prefix is None else self.prefix.first
        kept = Vectors.of(ids, rounded(cut(x), self.precision))
        exact = nearest(whole := Vectors(ids, x), queries, NEAREST)
        found = scored(nearest(kept, cut(queries), NEAREST), whole, queries)
        return {"recall": round(recall(found, exact), 4), "among": len(x)}
