"""safetensors files through a memory map: what a header says is checked first, and each array is read when it is wanted.

The library's own NumPy front end cannot read bfloat16, and takes one name twice.
"""

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json, replacing

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_HEADER = 100_000_000
"""Bytes; the library has the same limit."""
DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
COMPUTED = ("float32", "bfloat16", "float16")


def number(dtype: Any) -> np.dtype:
    """The type of numbers that a model computes with; a `ValueError` for others, as whole numbers would round it to nothing."""
    try:
        found = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    except TypeError:
        found = None
    if found is None or found.name not in COMPUTED:
        raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(COMPUTED)}")
    return found


@dataclass(frozen=True)
class Tensor:
    """Where an array lies: `shape` and `dtype` as the header has them, `start` and `end` in bytes of the file."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    end: int

    def read(self) -> np.ndarray:
        """The array: a view of the file, which may not be written to. Its pages are given back with it."""
        if self.start == self.end:
            return np.zeros(self.shape, self.dtype)
        first = self.start - self.start % mmap.ALLOCATIONGRANULARITY
        with open(self.path, "rb") as file:
            if file.seek(0, 2) < self.end:  # reading past its end would kill the process
                raise BadFile(f"{self.path}: it became shorter while it was read")
            pages = mmap.mmap(file.fileno(), self.end - first, access=mmap.ACCESS_READ, offset=first)
        content = np.frombuffer(pages, np.uint8, self.end - self.start, self.start - first)
        if self.start % self.dtype.itemsize:  # a file may be packed without a thought for alignment
            content = content.copy()
        return content.view(self.dtype).reshape(self.shape)

    def part(self, i: int, n: int) -> "Tensor":
        """Part i of n equal ones, which lie one below the other."""
        if n == 1:
            return self
        size = (self.end - self.start) // n
        shape = (self.shape[0] // n, *self.shape[1:])
        return replace(self, shape=shape, start=self.start + i * size, end=self.start + (i + 1) * size)


def tensors(folder: Path, weights: str = WEIGHTS) -> dict[str, Tensor]:
    """Every array of the checkpoint in a folder, which is the file `weights`, or several with an index; `BadFile` where it is
    none."""
    if (folder / weights).is_file():
        return header(folder / weights)
    if weights != WEIGHTS or not (folder / INDEX).is_file():
        raise BadFile(f"{folder}: {_no_weights(folder, weights)}")
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise BadFile(f"{folder / INDEX}: expected an object weight_map, from each name of an array to the name of its file")
    if strange := [name for name in places.values() if Path(name).name != name]:
        raise BadFile(f"{folder / INDEX}: names a file outside of its folder, {strange[0]!r}")
    if absent := sorted({name for name in places.values() if not (folder / name).is_file()}):
        raise BadFile(f"{folder}: lacks {', '.join(absent)}, which {INDEX} names")
    headers = {name: header(folder / name) for name in sorted(set(places.values()))}
    if lost := sorted(key for key, name in places.items() if key not in headers[name]):
        raise BadFile(f"{folder / INDEX}: {', '.join(lost[:8])}: not in the file that it names for them")
    held = [(key, name) for name, found in headers.items() for key in found]
    if over := sorted(key for key, name in held if places.get(key) != name):
        raise BadFile(
            f"{folder / INDEX}: does not name {', '.join(over[:8])}, which its files hold, or names another file for them"
        )
    return {key: headers[name][key] for key, name in held}


def header(path: Path) -> dict[str, Tensor]:
    """The arrays of a file by name. `BadFile` where any of them lies outside of it, lies over another, or is there twice."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length.to_bytes(8, "little") == b"version ":
            raise BadFile(f"{path}: the pointer of a file that Git LFS has not fetched: git lfs pull, or hf download")
        if size < 8 or length > min(size - 8, MOST_HEADER):
            raise BadFile(f"{path}: not a safetensors file, or cut short: {size} bytes, with a header of {length}")
        try:
            said = json.loads(file.read(length), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise BadFile(f"{path}: its header cannot be read: {error}") from error
    if not isinstance(said, dict):
        raise BadFile(f"{path}: its header is no object")
    out = {name: _tensor(path, name, one, 8 + length, size) for name, one in said.items() if name != "__metadata__"}
    spans = sorted((one.start, one.end, name) for name, one in out.items())
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            raise BadFile(f"{path}: {name} and {other} lie over each other")
    return out


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """One safetensors file as transformers reads it: whole, or as it was before."""
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({name: np.asarray(x, order="C") for name, x in arrays.items()}, temporary, metadata={"format": "pt"})


def _tensor(path: Path, name: str, said: Any, base: int, size: int) -> Tensor:
    try:
        dtype, shape, (start, end) = np.dtype(DTYPES[said["dtype"]]), tuple(said["shape"]), said["data_offsets"]
        whole = all(isinstance(n, int) and n >= 0 for n in (*shape, start, end))
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: {name}: cannot tell its type, shape and place: {said}") from error
    if not whole or end - start != prod(shape) * dtype.itemsize or base + end > size:
        raise BadFile(
            f"{path}: {name}: {said['dtype']}{list(shape)} at bytes {start} to {end} of {size - base}: cut short, or damaged"
        )
    return Tensor(path, dtype, shape, base + start, base + end)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return out


def _no_weights(folder: Path, weights: str) -> str:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    if not pickles:
        lacking = f"has neither {WEIGHTS} nor {INDEX}" if weights == WEIGHTS else f"has no {weights}"
        return (
            f"{lacking}. Where it was downloaded: the repository may have its weights in another form only (a pickle is not "
            "fetched), and then a revision with safetensors is wanted, such as refs/pr/1; or the download was cut short"
        )
    pickle, safe = folder / next((name for name in pickles if "model" in name), pickles[0]), folder / weights
    return (
        f"has its weights as a pickle only ({', '.join(pickles[:3])}), and reading a pickle runs whatever code it holds. Ask for "
        "a revision of the repository with safetensors (many have one at refs/pr/…), or, where you trust the file and have "
        'PyTorch: python -c "import torch, safetensors.torch as s; s.save_file({k: x.contiguous().clone() for k, x in '
        f"torch.load('{pickle}', weights_only=True).items()}}, '{safe}')\""
    )
