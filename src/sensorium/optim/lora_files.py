"""Adapters alone, in a folder as peft lays it out: `adapter_config.json` and `adapter_model.safetensors`."""

from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sensorium.core.differences import differences
from sensorium.core.errors import BadFile
from sensorium.core.files import read_json, replacing, write_json
from sensorium.optim.lora import Adapter, adapted, attach, layers

M = TypeVar("M", bound=nnx.Module)
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


def save_adapters(model: nnx.Module, folder: Path | str) -> None:
    """Writes the adapters of a model: a few thousandths of its size. A `ValueError` where it has none."""
    found = adapted(model)
    if not found:
        raise ValueError("save_adapters: this model has no adapters; `lora(model, …)` puts them beside its kernels")
    first = next(iter(found.values()))
    config = {
        "peft_type": "LORA",
        "r": first.rank,
        "lora_alpha": first.alpha,
        "target_modules": sorted(found),
        "rank_pattern": {name: x.rank for name, x in sorted(found.items()) if x.rank != first.rank},
        "alpha_pattern": {name: x.alpha for name, x in sorted(found.items()) if x.alpha != first.alpha},
        "bias": "none",
    }
    tensors = {key: tensor for name, adapter in found.items() for key, tensor in _tensors(name, adapter).items()}
    with replacing(Path(folder) / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(Path(folder) / CONFIG, config)


def load_adapters(model: M, folder: Path | str) -> M:
    """A copy of the model with the adapters of a folder beside its layers. `BadFile` for whatever does not fit, and all of it."""
    path = Path(folder) / WEIGHTS
    config = _config(Path(folder) / CONFIG)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadFile(f"{path}: cannot be read: {error}") from error
    model = nnx.clone(model)
    known = layers(model)
    if strange := [name for name in config["target_modules"] if name not in known]:
        raise BadFile(f"{path}: adapters of layers that the model has not, or that have one already: {', '.join(strange)}")
    for name in config["target_modules"]:
        rank = config.get("rank_pattern", {}).get(name, config["r"])
        alpha = config.get("alpha_pattern", {}).get(name, config["lora_alpha"])
        attach(known[name], rank, alpha, jax.random.key(0))  # what the key draws is replaced below
    found = adapted(model)
    wanted = {key: tensor for name in config["target_modules"] for key, tensor in _tensors(name, found[name]).items()}
    if wrong := differences(tensors, wanted):
        raise BadFile(f"{path}: does not fit the model: " + "; ".join(wrong))
    for name in config["target_modules"]:
        _set(found[name], *(tensors[f"{PREFIX}{name}.lora_{part}.weight"] for part in "AB"))
    return model


def _config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise BadFile(f"{path}: expected the configuration of LoRA adapters, with peft_type LORA")
    if lacking := [key for key in ("r", "lora_alpha", "target_modules") if key not in config]:
        raise BadFile(f"{path}: lacks {', '.join(lacking)}")
    return config


def _tensors(name: str, adapter: Adapter) -> dict[str, np.ndarray]:
    """PyTorch's layout: outputs first, then inputs, then the axes of the picture."""
    a, b = np.asarray(adapter.a.kernel[...]), np.asarray(adapter.b.kernel[...])
    up = b.T.reshape(*b.T.shape, *(1 for _ in range(a.ndim - 2)))
    down = np.moveaxis(a, (-1, -2), (0, 1))
    return {f"{PREFIX}{name}.lora_{x}.weight": np.ascontiguousarray(y) for x, y in (("A", down), ("B", up))}


def _set(adapter: Adapter, down: Float[np.ndarray, "r I *k"], up: Float[np.ndarray, "O r *one"]) -> None:
    adapter.a.kernel[...] = jax.numpy.asarray(np.moveaxis(down, (0, 1), (-1, -2)))
    adapter.b.kernel[...] = jax.numpy.asarray(up.reshape(up.shape[:2]).T)
