"""A checkpoint's folder read as a whole, and written as a whole."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import nnx

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json, write_json
from sensorium.core.protocols import Modality
from sensorium.models import Model
from sensorium.pretrained.family import CONFIG, FAMILIES, OPEN_CLIP, OPEN_CLIP_WEIGHTS, Folder, recognised
from sensorium.pretrained.rules import fill, laid_out
from sensorium.pretrained.shards import write_weights
from sensorium.pretrained.tensors import INDEX, WEIGHTS, tensors, write
from sensorium.training import Card


@dataclass(frozen=True)
class Loaded:
    """A model with its parameters, the fields that it reads, the card that builds it, and the name of its family."""

    model: Model
    fields: tuple[Modality, ...]
    card: Card
    family: str


def published(path: Path) -> Folder | None:
    """What says that a folder is a published checkpoint: a config.json with a model_type, or open_clip_config.json, which counts
    where there is no such one, or its weights are not there. None where there is neither."""
    config = read_json(path / CONFIG) if (path / CONFIG).is_file() else None
    typed = isinstance(config, dict) and "model_type" in config
    if not (path / OPEN_CLIP).is_file() or (typed and any((path / name).is_file() for name in (WEIGHTS, INDEX))):
        return Folder(path, config) if isinstance(config, dict) and typed else None
    said = read_json(path / OPEN_CLIP)
    if not isinstance(said, dict):
        raise BadFile(f"{path / OPEN_CLIP}: expected an object")
    return Folder(path, said | {"model_type": "open_clip"}, OPEN_CLIP, OPEN_CLIP_WEIGHTS)


def open_folder(folder: Folder, dtype: Any = jnp.float32) -> Loaded:
    """The model of a folder that `published` gives, its parameters as numbers of `dtype`.

    An `UnknownName` lists the families where it is of none; a `BadFile` all that does not fit, and then nothing is loaded.
    """
    family = recognised(folder)
    found = tensors(folder.path, folder.weights)
    for inner in (folder.path / name for name in family.beside):
        found |= {f"{inner.name}/{key}": tensor for key, tensor in tensors(inner).items()} if inner.is_dir() else {}
    described = family.describe(folder)
    arguments = json.loads(json.dumps(described.arguments))
    card = Card(described.builder, arguments)
    try:
        shapes = card.shapes()
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{folder.where}: describes no model that can be built: {error}") from error
    filled = fill(shapes, found, family.names(arguments), str(folder.path), dtype)
    return Loaded(filled, described.fields, card, family.name)


def write_folder(
    path: Path,
    model: nnx.Module,
    card: Card,
    fields: tuple[Modality, ...],
    family: str,
    dtype: Any = None,
    shard: int | None = None,
) -> None:
    """Writes a model in the layout of its family: configuration, weights, and what says how things are made ready.

    `dtype`: of the numbers, by default as the model has them; `shard`: files of at most so many bytes. A `ValueError` where the
    model is not of the family's form.
    """
    kind, arguments = FAMILIES[family], json.loads(json.dumps(dict(card.arguments)))
    try:
        files = kind.files(arguments, fields)
        arrays = laid_out(model, kind.names(arguments))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a model of the builder {card.builder!r} has not the form of the family {family!r}: {error}") from error
    if dtype is not None:
        arrays = {name: x.astype(dtype) for name, x in arrays.items()}
    if shard is not None and kind.weights != WEIGHTS:
        raise ValueError(f"the layout of the family {family!r} is one file of weights; leave out the size of its parts")
    if kind.config == CONFIG:
        files[CONFIG]["dtype"] = str(next(iter(arrays.values())).dtype)
    path.mkdir(parents=True, exist_ok=True)
    for inner in (path / name for name in kind.beside):
        if apart := [key for key in arrays if key.startswith(f"{inner.name}/")]:
            inner.mkdir(exist_ok=True)
            write(inner / WEIGHTS, {key.removeprefix(f"{inner.name}/"): arrays.pop(key) for key in apart})
    write_weights(path, arrays, shard, kind.weights)
    for name, content in files.items():
        write_json(path / name, content)
