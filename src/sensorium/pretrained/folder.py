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
from sensorium.models import Space
from sensorium.pretrained.family import FAMILIES, Folder, recognised
from sensorium.pretrained.rules import fill, laid_out
from sensorium.pretrained.tensors import WEIGHTS, tensors, write
from sensorium.training import Card

CONFIG = "config.json"


@dataclass(frozen=True)
class Loaded:
    """A model with its parameters, the fields that it reads, the card that builds it, and the name of its family."""

    model: Space
    fields: tuple[Modality, ...]
    card: Card
    family: str


def open_folder(path: Path, dtype: Any = jnp.float32) -> Loaded:
    """The model of a folder in the layout of Hugging Face, its parameters as numbers of `dtype`.

    An `UnknownName` lists the families where it is of none; a `BadFile` all that does not fit, and then nothing is loaded.
    """
    config = read_json(path / CONFIG)
    if not isinstance(config, dict):
        raise BadFile(f"{path / CONFIG}: expected an object")
    folder = Folder(path, config)
    family = recognised(folder)
    found = tensors(path)
    described = family.describe(folder)
    arguments = json.loads(json.dumps(described.arguments))
    card = Card("space", arguments)
    try:
        shapes = card.shapes()
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path / CONFIG}: describes no model that can be built: {error}") from error
    return Loaded(fill(shapes, found, family.names(arguments), str(path), dtype), described.fields, card, family.name)


def write_folder(path: Path, model: nnx.Module, card: Card, fields: tuple[Modality, ...], family: str) -> None:
    """Writes a model in the layout of its family: config.json, model.safetensors, and what says how things are made ready.

    A `ValueError` where the model is not of the family's form.
    """
    kind, arguments = FAMILIES[family], json.loads(json.dumps(dict(card.arguments)))
    try:
        files = kind.files(arguments, fields)
        arrays = laid_out(model, kind.names(arguments))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a model of the builder {card.builder!r} has not the form of the family {family!r}: {error}") from error
    files[CONFIG]["dtype"] = str(next(iter(arrays.values())).dtype)
    path.mkdir(parents=True, exist_ok=True)
    write(path / WEIGHTS, arrays)
    for name, content in files.items():
        write_json(path / name, content)
