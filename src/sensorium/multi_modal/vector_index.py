"""The vectors of a database, known by the content of its items, in memory and in a file."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import PIL.Image
from jaxtyping import Float

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json, replacing, sha256, write_json

MANIFEST, FORMAT = "retrieval.json", 1


class Index(NamedTuple):
    """What is known of one database: item i of each belongs together. Vectors have length 1."""

    ids: tuple[int | str, ...]
    checksums: tuple[str, ...]
    vectors: Float[np.ndarray, "N D"]


def write(path: Path, fingerprint: str, indices: Mapping[str, Index]) -> None:
    """Writes indices by modality into the folder `path`; what was there stays valid until all is written."""
    digest = hashlib.sha256(b"".join(index.vectors.tobytes() for index in indices.values())).hexdigest()[:12]
    file = path / f"vectors-{digest}.npz"
    with replacing(file) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **{name: index.vectors for name, index in indices.items()})  # type: ignore[arg-type]
    items = {name: {"ids": index.ids, "checksums": index.checksums} for name, index in indices.items()}
    about = {"format": FORMAT, "fingerprint": fingerprint, "file": file.name, "sha256": sha256(file)}
    write_json(path / MANIFEST, {**about, "databases": items})
    for old in path.glob("vectors-*.npz"):
        if old != file:
            old.unlink()


def read(path: Path) -> tuple[str, dict[str, Index]]:
    """The fingerprint and the indices that `write` wrote; `BadFile` where they are not whole."""
    if not (path / MANIFEST).is_file():
        raise BadFile(f"{path}: no index is here (it has no {MANIFEST}); write one with MultiModalRetrieval.save")
    about = read_json(path / MANIFEST)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise BadFile(f"{path / MANIFEST}: not an index of the format {FORMAT}; index anew")
    file = path / about["file"]
    if not file.is_file() or sha256(file) != about["sha256"]:
        raise BadFile(f"{file}: missing, or not what was written; index anew")
    with np.load(file) as arrays:
        return about["fingerprint"], {
            name: Index(tuple(items["ids"]), tuple(items["checksums"]), arrays[name])
            for name, items in about["databases"].items()
        }


def checksum(item: Any) -> str:
    """A hash of what an item holds: an array's dtype, shape and bytes, a text, the content of a file; of lists, of each part."""
    digest = hashlib.sha256()
    for part in _parts(item):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def _parts(item: Any) -> Iterator[bytes]:
    if isinstance(item, np.ndarray | jax.Array | np.generic):
        array = np.asarray(item)
        yield from (b"array", f"{array.dtype}{array.shape}".encode(), array.tobytes())
    elif isinstance(item, str | Path):
        if isinstance(item, Path) and not item.is_file():
            raise BadFile(f"{item}: no such file")
        yield from (b"text", str(item).encode())
        if os.path.isfile(item):  # a model may read a string as a path
            yield sha256(item).encode()
    elif isinstance(item, bytes):
        yield from (b"bytes", item)
    elif isinstance(item, PIL.Image.Image):
        yield from (b"picture", f"{item.mode}{item.size}".encode(), item.tobytes())
    elif isinstance(item, int | float | None):
        yield from (b"number", repr(item).encode())
    elif isinstance(item, list | tuple):
        yield from (b"list", str(len(item)).encode())
        for each in item:
            yield from _parts(each)
    else:
        raise ValueError(f"an item of a database is a {type(item).__name__}: give arrays, paths, strings, bytes or PIL pictures")
