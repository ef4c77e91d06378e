"""A model read from a folder, or written into one, in whichever layout: that of a family, or Sensorium's own."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json, write_json
from sensorium.core.protocols import Modality
from sensorium.pretrained.family import CONFIG
from sensorium.pretrained.folder import Loaded, check_form, open_folder, published, write_folder
from sensorium.pretrained.own import LIBRARY, configuration, described
from sensorium.pretrained.shards import remove_shards, size_of
from sensorium.pretrained.tensors import WEIGHTS, number
from sensorium.training import Card
from sensorium.training.weights import load_weights, save_weights


def read_model(path: Path, dtype: str = "float32") -> Loaded:
    """The model in a folder; its family is None where the layout is our own, which is of float32 (a `ValueError` for others).

    `BadFile` where there is none, or where the weights do not fit what the configuration says; `UnknownName` for a checkpoint
    of no family that is known.
    """
    wanted, config = number(dtype), read_json(path / CONFIG) if (path / CONFIG).is_file() else {}
    ours = isinstance(config, dict) and config.get("library_name") == LIBRARY
    if not ours and (folder := published(path)):
        return open_folder(folder, wanted)
    if not ours:
        raise BadFile(
            f"{path / CONFIG}: not a model of Sensorium (its library_name is not 'sensorium'), nor one of transformers (it has "
            "no model_type)"
        )
    if wanted.name != "float32":
        raise ValueError(f"{path}: dtype={dtype!r}: a model in Sensorium's own layout is of float32; leave dtype out")
    fields, card = described(config, f"{path / CONFIG}")
    try:
        shapes = card.shapes()
    except (KeyError, TypeError, ValueError) as error:  # a name that is unknown, an argument that no builder takes
        raise BadFile(f"{path / CONFIG}: describes no model that this version can build: {error}") from error
    return Loaded(load_weights(shapes, path / WEIGHTS, f"{CONFIG} beside it"), fields, card, None)


def write_own(
    path: Path, model: nnx.Module, card: Card, fields: tuple[Modality, ...], dtype: str | None, shard_size: int | str | None
) -> None:
    """Writes a model in our own layout: config.json, and one file of float32. A `ValueError` where other things are asked for."""
    types = {x.dtype for x in jax.tree.leaves(nnx.state(model))}
    odd = any(jnp.issubdtype(one, jnp.floating) and one != jnp.float32 for one in types)
    if odd or shard_size is not None or dtype not in (None, "float32"):
        raise ValueError("Sensorium's own layout is one file of float32: load with that dtype, and give no other and no size")
    path.mkdir(parents=True, exist_ok=True)
    save_weights(model, path / WEIGHTS, {"format": LIBRARY})
    remove_shards(path)
    write_json(path / CONFIG, configuration(card, fields))


def write_published(
    path: Path,
    model: nnx.Module,
    card: Card,
    fields: tuple[Modality, ...],
    family: str,
    *,
    known: bool,
    dtype: str | None = None,
    shard_size: int | str | None = None,
) -> None:
    """Writes a model in the layout of a family. `known`: it was loaded from that layout; any other is looked over first, and a
    `ValueError` says where it has not that form. `dtype` and `shard_size`: see `Sensorium.save_pretrained`."""
    if not known:
        check_form(model, card, fields, family)
    kind: Any = None if dtype is None else number(dtype)
    write_folder(path, model, card, fields, family, kind, None if shard_size is None else size_of(shard_size))
