"""What a user holds: a model with its senses. Raw things in, unit vectors out; saved to and loaded from a directory."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.batch import Batch, pad, stack
from sensorium.core.errors import BadFile, UnknownName, nearest
from sensorium.core.files import read_json, write_json
from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened
from sensorium.modalities import MODALITIES
from sensorium.models import Space
from sensorium.training import Card
from sensorium.training.weights import arrays, load_weights, save_weights

ROWS = (1, 8, 64)
"""The sizes of batch that are compiled: any number of things is cut into these, and the last one filled up."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Sensorium:
    """A model and the fields that it reads. `encode` goes through one compiled function for each field and size of batch."""

    def __init__(self, model: Space, fields: Sequence[Modality], card: Card):
        self.model, self.fields, self.card = model, tuple(fields), card
        self.traces, self._fingerprint = 0, ""
        graph, state = nnx.split(model)
        leaves, tree = jax.tree.flatten(state)

        def units(leaves: list[jax.Array], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
            self.traces += 1
            outputs = nnx.merge(graph, jax.tree.unflatten(tree, leaves))(batch)
            return {key: value for key, value in outputs.items() if key.endswith("/unit")}

        self._leaves, self._units = leaves, jax.jit(units)

    def update(self, model: Space) -> None:
        """Takes the parameters of another model of the same card, without compiling anything anew."""
        self.model, self._leaves, self._fingerprint = model, jax.tree.leaves(nnx.state(model)), ""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the fields that `encode` takes."""
        return tuple(field.name for field in self.fields)

    def supports(self, name: str) -> bool:
        return name in self.modalities

    def field(self, name: str) -> Modality:
        """The field of a name; an `UnknownName` that lists those there are."""
        for field in self.fields:
            if field.name == name:
                return field
        raise UnknownName(f"this model has no field {name!r}.{nearest(name, self.modalities)}")

    def encode(self, **raws: Raw | list[Raw]) -> dict[str, Float[np.ndarray, "N D"]]:
        """Unit vectors of raw things: `encode(image=["a.png", pil], text="a cat")` -> `{"image": f32[2 D], "text": f32[1 D]}`.

        What a field takes is said by its modality's `prepare`: a string is a text or a path, a sound is a path or an
        (array, rate) pair. A list is several things. Equal things get equal vectors, whatever is encoded beside them.
        """
        return {name: self._encode(self.field(name), raw if isinstance(raw, list) else [raw]) for name, raw in raws.items()}

    def similarity(self, a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]) -> Float[np.ndarray, "N M"]:
        """Cosines of every row of `a` with every row of `b` (both of unit length, as `encode` gives them)."""
        return np.asarray(a) @ np.asarray(b).T

    @property
    def fingerprint(self) -> str:
        """A hash of the weights and of all that is done before them: vectors of unlike fingerprints must not be compared."""
        if not self._fingerprint:
            self._fingerprint = self._hash()
        return self._fingerprint

    def parameters(self) -> list[jax.Array]:
        """Every array of the model."""
        return list(self._leaves)

    def save_pretrained(self, path: Path | str) -> None:
        """Writes `config.json` and `model.safetensors` into the directory `path`; `sensorium.load` reads them."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        save_weights(self.model, path / WEIGHTS, {"format": "sensorium"})
        write_json(path / CONFIG, self._config())

    def _hash(self) -> str:
        digest = hashlib.sha256(json.dumps(self._config(), sort_keys=True).encode())
        for name, value in sorted(arrays(self.model).items()):
            digest.update(name.encode() + value.tobytes())
        return digest.hexdigest()[:16]

    def _config(self) -> dict[str, Any]:
        fields = [{"kind": field.kind, **asdict(field)} for field in self.fields]  # type: ignore[call-overload]
        model = {"builder": self.card.builder, "arguments": dict(self.card.arguments)}
        return json.loads(json.dumps({"library_name": "sensorium", **model, "fields": fields}))

    def _encode(self, field: Modality, raws: list[Raw]) -> Float[np.ndarray, "N D"]:
        parts = [np.zeros((0, self.model.width), np.float32)]
        for start, size in _cuts(len(raws)):
            prepared = [field.prepare(opened(raw)) for raw in raws[start : start + size]]
            parts.append(self.units(stack(prepared), size)[f"{field.name}/unit"][: len(prepared)])
        return np.concatenate(parts)

    def units(self, batch: Batch, rows: int) -> dict[str, np.ndarray]:
        """The compiled function itself: `"<field>/unit"` f32[rows D] of prepared arrays, which are filled up to `rows`."""
        read = {key: value for key, value in batch.items() if key.rpartition("/")[2] not in ("id", "here") and key != "group"}
        return jax.device_get(self._units(self._leaves, pad(read, rows)))


def load(path: Path | str) -> Sensorium:
    """The model in a directory that `sensorium.train` or `save_pretrained` wrote.

    `BadFile` where there is none, or where the weights do not fit what the configuration says, name by name.
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        found = "it is no directory" if not path.is_dir() else f"it has no {CONFIG}"
        raise BadFile(f"{path}: no model here: {found}. Give the directory that `sensorium train … --out` wrote")
    config = read_json(path / CONFIG)
    if not isinstance(config, dict) or config.get("library_name") != "sensorium":
        raise BadFile(f"{path / CONFIG}: not a model of Sensorium (its library_name is not 'sensorium')")
    if own := [field["kind"] for field in config.get("fields", ()) if "kind" in field and field["kind"] not in MODALITIES]:
        raise UnknownName(
            f"{path}: its modality {own[0]!r} is not one of the house.{nearest(own[0], MODALITIES)} If it is your own, import "
            "the file that adds it to sensorium.modalities.MODALITIES first (on the command line: sensorium --use FILE.py …)"
        )
    try:
        fields = [MODALITIES[field["kind"]](**{k: v for k, v in field.items() if k != "kind"}) for field in config["fields"]]
        card = Card(config["builder"], config["arguments"])
        shapes = nnx.eval_shape(lambda: card.build(0))
    except (KeyError, TypeError, ValueError) as error:  # a name that is lost or unknown, an argument that no builder takes
        raise BadFile(f"{path / CONFIG}: describes no model that this version can build: {error}") from error
    return Sensorium(load_weights(shapes, path / WEIGHTS, f"{CONFIG} beside it"), fields, card)


def _cuts(n: int) -> Iterator[tuple[int, int]]:
    """(start, size of batch) of the pieces of `n` things: the largest size while it is filled, then the least for the rest."""
    start = 0
    while start < n:
        size = next((rows for rows in ROWS if rows >= n - start), ROWS[-1])
        yield start, size
        start += size
