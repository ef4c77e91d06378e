"""Vectors with the mean of their kind taken out: the gap between the kinds of things in a shared space (Liang et al. 2022, "Mind
the gap") is then 0 on the sample that the means are of."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.search.embed import Model, embed
from sensorium.search.prefix import Prefix

SAMPLE = 1000
"""Items that the means are taken of, in equal steps over all that there are when a collection is made."""
LEAST = 2
"""Of fewer things of a field a mean says nothing, and the field is left as it is."""


@dataclass(frozen=True)
class Centred:
    """A model whose vectors have the mean of their field taken out, and are made unit vectors again. It is another model to a
    collection: the fingerprint says so. Fields without a mean stay as they are."""

    model: Model
    means: Mapping[str, Float[np.ndarray, " D"]]

    @property
    def fields(self) -> tuple[Modality, ...]:
        return self.model.fields

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, mean in sorted(self.means.items()):
            digest.update(name.encode() + np.asarray(mean, np.float32).tobytes())
        return f"{self.model.fingerprint}-centred-{digest.hexdigest()[:8]}"

    def encode(self, **raws: Raw) -> dict[str, Float[np.ndarray, "N D"]]:
        return {name: self.centred(name, z) for name, z in self.model.encode(**raws).items()}

    def kept(self, name: str, z: Float[np.ndarray, "N W"]) -> Float[np.ndarray, "N D"]:
        """What the collection has of a field's vectors as the innermost model makes them."""
        return self.centred(name, self.model.kept(name, z) if isinstance(self.model, Prefix) else z)

    def centred(self, name: str, z: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
        """Unit vectors of a field without the mean of the field."""
        if name not in self.means:
            return z
        moved = z - self.means[name]
        return (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def centred(model: Model, items: Sequence[Item], root: Path | None) -> tuple[Centred, dict[str, Any]]:
    """A model centred by the vectors that it makes of (at most `SAMPLE` of) some items; and what is told of it: how many `items`
    the means are of, and the length of the `gap` between each two fields (of their means) before and `after`."""
    few = len(items) <= SAMPLE
    some = items if few else [items[i * len(items) // SAMPLE] for i in range(SAMPLE)]
    found: dict[str, list[np.ndarray]] = {}
    for entries in embed(model, some, root):
        for name, vector in ((n, v) for entry in entries for piece in entry.pieces for n, v in piece.vectors.items()):
            found.setdefault(name, []).append(vector)
    vectors = {name: np.stack(own) for name, own in found.items() if len(own) >= LEAST}
    if not vectors:
        raise SensoriumError(f"nothing to centre by: of the {len(some)} items no field has {LEAST} or more")
    made = Centred(model, {name: z.mean(0).astype(np.float32) for name, z in vectors.items()})
    after = {name: made.centred(name, z) for name, z in vectors.items()}
    return made, {"items": len(some), "fields": sorted(vectors), "gap": gaps(vectors), "after": gaps(after)}


def gaps(vectors: Mapping[str, Float[np.ndarray, "_ D"]]) -> dict[str, float]:
    """The distance between the means of each two fields (Liang et al. 2022, section 2.1)."""
    means = {name: z.mean(0) for name, z in vectors.items()}
    return {f"{a}-{b}": float(np.linalg.norm(means[a] - means[b])) for a, b in combinations(sorted(means), 2)}


def told(made: Centred) -> dict[str, list[float]]:
    """The means as JSON has them."""
    return {name: [float(x) for x in np.asarray(mean, np.float32)] for name, mean in made.means.items()}


def suited(model: Model, about: Mapping[str, Any]) -> Model:
    """A model as a collection was made with it: its first numbers alone, and centred, where that is so."""
    if isinstance(model, Centred):
        return model
    dims, means = about.get("dims"), about.get("means")
    made = Prefix(model, dims) if dims is not None and not isinstance(model, Prefix) else model
    if means:
        made = Centred(made, {name: np.array(mean, np.float32) for name, mean in means.items()})
    return made if made.fingerprint == about.get("fingerprint") else model
