"""Weights as files: one, or several of a size that uploads and file systems bear, with the index that transformers reads."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sensorium.core.files import read_json, write_json
from sensorium.pretrained.tensors import WEIGHTS, write

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def size_of(text: str | int) -> int:
    """Bytes: "200MB" is 200 million, "2GiB" is 2·2³⁰, and a number is itself. A `ValueError` for other words."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", str(text).strip(), re.I)
    bytes_ = int(float(found.group(1)) * UNITS[(found.group(2) or "").upper()]) if found else 0
    if bytes_ < 1:
        raise ValueError(f"a size of {text!r}: expected a number of bytes, or one such as 200MB, 5GB or 2GiB")
    return bytes_


def write_weights(folder: Path, arrays: Mapping[str, np.ndarray], size: int | None = None, name: str = WEIGHTS) -> None:
    """The file `name`, or where that would be larger than `size` bytes, several of at most that (of one array where that alone
    is larger) and their index. Weights of the same kind that lay there before are removed when the new ones are whole."""
    parts = _parts(arrays, size)
    stem, suffix = name.removesuffix(".safetensors"), ".safetensors"
    names = [name] if len(parts) == 1 else [f"{stem}-{i + 1:05}-of-{len(parts):05}{suffix}" for i in range(len(parts))]
    before = {name, *_shards(folder, name)}
    for own, part in zip(names, parts, strict=True):
        write(folder / own, part)
    if len(parts) > 1:
        places = {key: own for own, part in zip(names, parts, strict=True) for key in part}
        total = {"total_size": sum(x.nbytes for x in arrays.values())}
        write_json(folder / f"{name}.index.json", {"metadata": total, "weight_map": dict(sorted(places.items()))})
    else:
        (folder / f"{name}.index.json").unlink(missing_ok=True)
    for old in before - set(names):
        (folder / old).unlink(missing_ok=True)


def remove_weights(folder: Path, name: str = WEIGHTS) -> None:
    """Removes the file `name`, or those that its index names, and the index; nothing where there is none of them."""
    remove_shards(folder, name)
    (folder / name).unlink(missing_ok=True)


def remove_shards(folder: Path, name: str = WEIGHTS) -> None:
    """Removes the files that the index of `name` names, but for `name` itself, and the index."""
    for file in (*(_shards(folder, name) - {name}), f"{name}.index.json"):
        (folder / file).unlink(missing_ok=True)


def _parts(arrays: Mapping[str, np.ndarray], size: int | None) -> list[dict[str, np.ndarray]]:
    parts: list[dict[str, np.ndarray]] = [{}]
    held = 0
    for key, x in arrays.items():
        if size is not None and parts[-1] and held + x.nbytes > size:
            parts.append({})
            held = 0
        parts[-1][key] = x
        held += x.nbytes
    return parts


def _shards(folder: Path, name: str) -> set[str]:
    """The files of weights that an index in a folder names, and that lie in that folder."""
    index = folder / f"{name}.index.json"
    said = read_json(index) if index.is_file() else {}
    places = said.get("weight_map") if isinstance(said, dict) else None
    names = {str(place) for place in places.values()} if isinstance(places, dict) else set()
    return {name for name in names if Path(name).name == name and name.endswith(".safetensors")}
