"""A checkpoint's folder read as a whole, and written as a whole."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax.numpy as jnp
from flax import nnx

from sensorium.core.errors import BadFile, UnknownName
from sensorium.core.files import read_json, write_json
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.models import Model
from sensorium.pretrained.family import CONFIG, FAMILIES, OPEN_CLIP, OPEN_CLIP_WEIGHTS, Folder, recognised
from sensorium.pretrained.films import CLIPS
from sensorium.pretrained.preprocess import PROCESSOR, TOKENS, tokenizer_of, vocabulary
from sensorium.pretrained.rules import fill, laid_out
from sensorium.pretrained.sentence import LENGTH, MODULES
from sensorium.pretrained.shards import remove_weights, write_weights
from sensorium.pretrained.tensors import INDEX, WEIGHTS, tensors, write
from sensorium.training import Card

SAID = (CONFIG, PROCESSOR, CLIPS, MODULES, LENGTH)
"""Files of another model that stood in a folder, perhaps, which would be read as what is said of the one that is written there:
they go as its weights do."""
STRANGE = (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError)
"""What a configuration of wrong types or sizes comes to, somewhere."""


@dataclass(frozen=True)
class Loaded:
    """A model with its parameters, the fields that it reads, the card that builds it, and its family (None: our own layout)."""

    model: Model
    fields: tuple[Modality, ...]
    card: Card
    family: str | None


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
    try:
        described = family.describe(folder)
        arguments = json.loads(json.dumps(described.arguments))
        card = Card(described.builder, arguments)
        _check_numbers(arguments, len(found))
        _check_words(folder, arguments, described.fields)
        shapes = card.shapes()
    except BadFile:
        raise
    except STRANGE as error:  # an UnknownName among them, of an activation
        told = f"it has no {error}" if isinstance(error, KeyError) and not isinstance(error, UnknownName) else error
        where = f"{folder.where} and what lies beside it"
        raise BadFile(f"{where}: describes no model of the family {family.name} that can be built: {told}") from error
    filled = fill(shapes, found, family.names(arguments), str(folder.path), dtype)
    return Loaded(filled, described.fields, card, family.name)


def _check_numbers(arguments: Any, arrays: int) -> None:
    """A `ValueError` for numbers that a model could be built with and that mean nothing: a negative size, an odd epsilon,
    more layers than there are arrays (which would be built for ever)."""
    for key, value in arguments.items() if isinstance(arguments, dict) else ():
        several = value if isinstance(value, list) else [value]
        if key in ("depth", "depths") and not all(isinstance(n, int) and n <= arrays for n in several):
            raise ValueError(f"{value!r} layers, where the weights are {arrays} arrays")
        if key == "eps" and not (isinstance(value, int | float) and 0 < value < 1):
            raise ValueError(f"an epsilon of {value!r}; expected a number between 0 and 1")
        if key != "bias" and any(isinstance(n, int) and n < 0 for n in several):
            raise ValueError(f"{key} {value!r}; expected no negative number")
        _check_numbers(value, arrays)


def _check_words(folder: Folder, arguments: dict[str, Any], fields: Sequence[Modality]) -> None:
    """A `BadFile` where a text may come to ids that the model has no row for: JAX would take the last one."""
    parts = [*arguments["encoders"].values(), arguments.get("decoder") or {}, arguments.get("question") or {}]
    rows = min((part["vocabulary"] for part in parts if "vocabulary" in part), default=None)
    for field in fields:
        if rows is None or not isinstance(field, Text):
            continue
        numbers = vocabulary(tokenizer_of(field, cleaned=True))
        piece = max(numbers, key=numbers.__getitem__)
        if numbers[piece] >= rows:
            raise BadFile(f"{folder.path / TOKENS}: {piece!r} has the id {numbers[piece]}, where the model has {rows} of them")


def kept_as(path: Path) -> str:
    """The type of most numbers of the checkpoint in a folder, "float32", "float16" or "bfloat16"; "float32" for all others."""
    folder = published(path)
    sizes: Counter[str] = Counter()
    for tensor in tensors(path, WEIGHTS if folder is None else folder.weights).values():
        sizes[str(tensor.dtype)] += tensor.end - tensor.start
    most = sizes.most_common(1)
    return most[0][0] if most and most[0][0] in ("float16", "bfloat16") else "float32"


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
    except (KeyError, TypeError, ValueError) as error:
        told = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{_form(arguments)} is not of the form of the family {family!r}: {told}. {ADVICE}") from error
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
        elif inner.is_dir():
            _cleared(inner)
    write_weights(path, arrays, shard, kind.weights)
    for name, content in files.items():
        write_json(path / name, content)
    for name in (name for name in SAID if name not in files):
        (path / name).unlink(missing_ok=True)
    if CONFIG not in files:
        remove_weights(path)


def _cleared(inner: Path) -> None:
    """Takes out a folder beside another model's weights, which the one that is written there now has not; what else lies in it
    stays."""
    remove_weights(inner)
    (inner / CONFIG).unlink(missing_ok=True)
    if not any(inner.iterdir()):
        inner.rmdir()


ADVICE = (
    "A model has it that was loaded from such a checkpoint, or began with one (sensorium train --init); of the family 'clip' "
    "also what sensorium train --towers clip makes. Sensorium's own layout (family 'sensorium') takes any model"
)


def check_form(model: nnx.Module, card: Card, fields: tuple[Modality, ...], family: str) -> None:
    """A `ValueError` where a model that was not loaded from a checkpoint of this family would be another one once it is written
    in the family's layout: what is written is described again, and has to be the same."""
    with TemporaryDirectory() as name:
        write_folder(Path(name), model, card, fields, family)
        folder = published(Path(name))
        told = None if folder is None else json.loads(json.dumps(FAMILIES[family].describe(folder).arguments))
    arguments = json.loads(json.dumps(dict(card.arguments)))
    for key in ("encoders", "width", "bias", "bare"):
        if told is None or told.get(key) != arguments.get(key):
            raise ValueError(f"{_form(arguments)} is not of the form of the family {family!r} (its {key} differ). {ADVICE}")


def _form(arguments: dict[str, Any]) -> str:
    encoders = {name: (said.get("encoder"), said.get("form")) for name, said in arguments.get("encoders", {}).items()}
    told = ", ".join(f"{name}: {encoder}{f' {form}' if form else ''}" for name, (encoder, form) in encoders.items())
    return f"a model of {told or 'no encoders'}"
