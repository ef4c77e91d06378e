"""What a store is told of the collection in it, and the refusal of a model that is not the one that made it."""

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium import __version__
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.search.centre import Centred
from sensorium.search.embed import Model
from sensorium.search.prefix import Prefix
from sensorium.search.store import KEY, Store
from sensorium.search.where import Compare

FORMAT = "sensorium/collection-2"
FILLING = "filling"
"""What is told of a collection of which an import has not come to its end."""


def described(
    fingerprint: str,
    model: str | None,
    kinds: Mapping[str, str],
    root: Path | str | None,
    dims: int | None = None,
    precision: str = "f32",
) -> dict[str, Any]:
    """What a store is told of a collection: the model that made it and where that lies, its fields' kinds, the items' folder, and
    how vectors are kept."""
    told = {"format": FORMAT, "fingerprint": fingerprint, "dims": dims, "precision": precision, "model": model}
    return told | {"kinds": dict(kinds), "root": str(root) if root else None, "sensorium": __version__}


def fill(store: Store, about: dict[str, Any]) -> None:
    """Begins to fill an empty store with a whole collection; what was left by one who began and failed is removed first.
    `SensoriumError` where the store holds anything else."""
    if store.about.get(FILLING):
        store.delete(Compare(KEY, "known"))
    elif store.count():
        raise SensoriumError("the collection to fill holds rows already: give a new place")
    store.describe(about | {"complete": False, FILLING: True})


def check(store: Store, place: Path | str) -> None:
    """`BadFile` where a store holds no collection that can be opened."""
    if store.about.get("format") != FORMAT:
        raise BadFile(f"{place}: not a collection of the format {FORMAT}; make it anew with: sensorium index")
    if store.about.get(FILLING):
        raise BadFile(
            f"{place}: only a part of a collection, as an import is still at work on it, or has failed: run the same sensorium "
            "collection import again"
        )


def finish(store: Store, about: dict[str, Any], changed: bool = True) -> None:
    """Makes what is in a store fast to search, where it has changed, and says that it is whole."""
    made = indexed(store) if changed else about.get("indexes", {})
    about = {name: value for name, value in about.items() if name != FILLING}
    store.describe(about | {"complete": True, "indexes": made, "made": time.strftime("%Y-%m-%dT%H:%M:%S%z")})


def indexed(store: Store) -> dict[str, dict[str, Any]]:
    """Makes what is in a store fast to search; how its columns of vectors are searched from now on, as JSON has it."""
    return {name: index._asdict() for name, index in store.optimize().items()}


def placed(model: Path | str) -> str:
    """A directory by its whole path; what is none is the id of a repository, and stays as it is."""
    return str(Path(model).resolve()) if Path(model).exists() else str(model)


def dims_of(model: Model) -> int | None:
    """How many numbers a model keeps of each vector; None for all."""
    inner = model.model if isinstance(model, Centred) else model
    return inner.dims if isinstance(inner, Prefix) else None


def refusal(
    about: Mapping[str, Any],
    model: Model,
    place: Path | str | None,
    root: Path | None = None,
    model_path: Path | str | None = None,
    centre: bool = False,
    precision: str | None = None,
) -> str:
    """Why a collection takes no vectors of `model`, and the command that makes it anew of these, with what was given, else as it
    was made before. What nobody knows stands in capital letters there, and is explained."""
    where = model_path or _origin(model)
    unknown = {} if where else {"MODEL": "the folder or the id of this model"}
    unknown |= {} if root or about.get("root") else {"FOLDER": "the folder of the items"}
    unknown |= {} if place else {"COLLECTION": "the place of this collection"}
    dims, kept = dims_of(model) or about.get("dims"), precision or about.get("precision", "f32")
    command = ["sensorium", "index", str(root or about.get("root") or "FOLDER"), "--model", placed(where) if where else "MODEL"]
    command += ["--out", str(place or "COLLECTION"), *(["--dims", str(dims)] if dims else [])]
    command += ["--centre"] if centre or about.get("means") else []
    command += [*(["--precision", kept] if kept != "f32" else []), "--anew"]
    meant = f" ({'; '.join(f'{word}: {meaning}' for word, meaning in unknown.items())})" if unknown else ""
    made_by = about.get("model") or "a model at an unknown place"
    return (
        f"this collection was made by {made_by} (fingerprint {about.get('fingerprint')}), not by this model (fingerprint "
        f"{model.fingerprint}): their vectors cannot be compared. Use the one that made it, or index anew: "
        f"{shlex.join(command)}{meant}"
    )


def _origin(model: Model) -> str | None:
    """Where a model was loaded from, as far as it knows."""
    inner = model
    while isinstance(inner, Centred | Prefix):
        inner = inner.model
    return getattr(getattr(inner, "origin", None), "name", None)
