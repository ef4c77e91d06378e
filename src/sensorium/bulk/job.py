"""A job opened in a process: its model and its items, checked to be those of every other process."""

import hashlib
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.bulk.spec import Spec, settle
from sensorium.core.files import sha256
from sensorium.core.protocols import Item
from sensorium.data.listing import Lazy, Listing


class Job:
    """A `Spec` with what it names: reads the listing and loads the model. `hash`: of all that decides the rows.

    `OtherJob` where `spec.out` is the place of a job with other rows; the errors of `scan` and `load` where these fail.
    """

    def __init__(self, spec: Spec):
        import sensorium
        from sensorium import data

        for file in spec.use:
            _import(Path(file))
        self.spec = spec
        listing = data.scan(spec.source, spec.columns, alone=True)
        self.model = sensorium.load(spec.model)
        self.root = listing.root if isinstance(listing.root, Path) else None
        self.listed: Sequence[Item] = listing.items
        identity = {
            "source": spec.source,
            "columns": spec.columns,
            "shards": spec.shards,
            "use": {Path(file).name: sha256(file) for file in spec.use},
            "items": len(listing.items),
            "listing": fingerprint(listing),
            "model": self.model.fingerprint,
        }
        about = {
            "root": str(self.root.resolve()) if self.root else None,
            "layout": listing.layout,
            "kinds": {field.name: field.kind for field in self.model.fields},
            "problems": [asdict(problem) for problem in listing.problems],
        }
        self.hash = settle(spec, identity, about)

    def numbers(self, shard: int) -> range:
        """Which items, by their numbers in the listing, are the shard's."""
        return self.spec.items(shard, len(self.listed))

    def items(self, numbers: Sequence[int]) -> list[Item]:
        return [self.listed[k] for k in numbers]


def fingerprint(listing: Listing) -> str:
    """A hash of what the items are called, of the files they name, their captions and metadata; not of what is in the files."""
    if isinstance(listing.items, Lazy):
        return listing.items.fingerprint()[:32]
    root, digest = str(listing.root), hashlib.sha256()

    def told(raw: Any) -> Any:
        if isinstance(raw, np.ndarray):
            return f"{raw.dtype}{list(raw.shape)} {hashlib.sha256(np.ascontiguousarray(raw).tobytes()).hexdigest()}"
        return str(raw).removeprefix(root)

    for item in listing.items:
        line = json.dumps([item.id, item.raws, item.metadata], default=told, sort_keys=True)
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _import(file: Path) -> None:
    """A user's own file by its name, as `sensorium --use` does it."""
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    importlib.import_module(file.stem)
