"""The arrays of a module as one safetensors file: written whole, and read strictly."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sensorium.core.differences import differences
from sensorium.core.errors import BadFile
from sensorium.core.files import replacing

M = TypeVar("M", bound=nnx.Module)


def arrays(module: nnx.Module) -> dict[str, np.ndarray]:
    """The arrays of a module by dotted name, as they are in a file."""
    return {".".join(map(str, path)): np.asarray(variable[...]) for path, variable in nnx.to_flat_state(nnx.state(module))}


def save_weights(module: nnx.Module, path: Path | str, metadata: dict[str, str] | None = None) -> None:
    """Writes all arrays of a module; the file is whole or absent, whenever the process ends."""
    with replacing(path) as temporary:
        save_file(arrays(module), temporary, metadata=metadata)


def load_weights(module: M, path: Path | str, what: str = "the module") -> M:
    """A module like this one (which may be of shapes only, by `nnx.eval_shape`) with the arrays of a file.

    Whatever is missing, unknown or of another shape or type than `what` has is listed in one `BadFile`, and then nothing is
    loaded.
    """
    graph, state = nnx.split(module)
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadFile(f"{path}: cannot be read: {error}") from error
    wanted = {".".join(map(str, name)): variable for name, variable in nnx.to_flat_state(state)}
    if wrong := differences(found, {name: variable.get_value() for name, variable in wanted.items()}):
        raise BadFile(f"{path}: does not fit {what}: " + "; ".join(wrong))
    for name, variable in wanted.items():
        variable.set_value(jax.numpy.asarray(found[name]))
    return nnx.merge(graph, state)


def filled(module: M, held: Mapping[str, np.ndarray | jax.Array]) -> M:
    """A module like this one (which may be of shapes only) with these arrays, by dotted name. A `ValueError` for all that is
    missing, unknown, or of another shape or type."""
    graph, state = nnx.split(module)
    wanted = {".".join(map(str, name)): variable for name, variable in nnx.to_flat_state(state)}
    if wrong := differences(held, {name: variable.get_value() for name, variable in wanted.items()}):
        raise ValueError("the arrays do not fit the module: " + "; ".join(wrong))
    for name, variable in wanted.items():
        variable.set_value(jax.numpy.asarray(held[name]))
    return nnx.merge(graph, state)
