"""An exact store in plain NumPy: vectors are memory-mapped files, a search is a matrix product.

On disk: `manifest.json`, which names one folder (a *generation*) and the size of every file in it. A commit writes a new
generation beside the old one and then replaces the manifest by a rename, so whatever moment a process dies at, the next
reader finds the old rows or the new ones, whole.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from jaxtyping import Float, Int

from sensorium.core.errors import BadFile, SensoriumError, UnknownName, nearest
from sensorium.core.files import read_json, replacing, write_json
from sensorium.search.store import Entry, Row

FORMAT = "sensorium/collection-1"
MANIFEST = "manifest.json"
_CHUNK = 1 << 16  # rows a product; bounds how much of a mapped file one product walks over
_STALE = 24 * 3600.0  # seconds after which a generation that no manifest names is the remains of a killed writer


class Memory:
    """The driver. Make one with `create` (empty; what stands at `path` stays until `commit`) or `open`."""

    def __init__(self, path: Path):
        self.path = path
        self._about: dict[str, Any] = {}
        self._pending: dict[str, Entry] = {}
        self._lines: list[bytes] = []
        self._vectors: dict[str, np.ndarray] = {}  # field -> f32[M D], the vectors of the rows that have the field
        self._rows: dict[str, np.ndarray] = {}  # field -> i64[M], the numbers of those rows, ascending
        self._spans = np.zeros((0, 2), np.int64)  # row -> (offset, bytes) of its thumbnail; no bytes, no picture
        self._blob = np.zeros(0, np.uint8)

    @classmethod
    def create(cls, path: Path | str) -> "Memory":
        """An empty store. A folder of other things is refused: a commit there would mix with them."""
        path = Path(path)
        if path.exists() and not _ours(path):
            raise SensoriumError(f"{path} exists and is no collection: give a new path, or remove it first")
        return cls(path)

    @classmethod
    def open(cls, path: Path | str) -> "Memory":
        """The rows of the last commit; `BadFile` where there is none, or where a file is not as long as it was written."""
        manifest = _manifest(Path(path))
        while True:
            try:
                return cls(Path(path))._read(manifest)
            except (BadFile, FileNotFoundError):
                again = _manifest(Path(path))  # a writer may have swapped the generation between the two reads
                if again["generation"] == manifest["generation"]:
                    raise
                manifest = again

    @property
    def about(self) -> dict[str, Any]:
        return self._about

    def upsert(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for name, vector in entry.vectors.items():
                if not np.isfinite(vector).all():
                    raise SensoriumError(f"item {entry.row.id!r}: its vector for {name!r} holds NaN or infinity")
            self._pending[entry.row.id] = entry

    def commit(self, about: dict[str, Any]) -> None:
        """Writes a new generation, swaps the manifest, and removes the generation that it replaces."""
        before = _manifest(self.path)["generation"] if (self.path / MANIFEST).exists() else None
        name = f"rows-{uuid4().hex[:12]}"
        fields = self._write(self.path / name)
        files = {file.name: file.stat().st_size for file in sorted((self.path / name).iterdir())}
        manifest = {"format": FORMAT, "about": about, "generation": name, "fields": fields, "files": files}
        write_json(self.path / MANIFEST, manifest)
        self._pending = {}
        self._read(manifest)
        self._sweep(name, before)

    def get(self, rows: Sequence[int]) -> list[Row]:
        return [_row(self._lines[row]) for row in rows]

    def thumbnail(self, row: int) -> bytes | None:
        start, size = self._spans[row].tolist()
        return self._blob[start : start + size].tobytes() if size else None

    def search(self, name: str, vector: Float[np.ndarray, " D"], k: int) -> list[tuple[int, float]]:
        if name not in self._vectors:
            raise UnknownName(f"no vectors of a field {name!r} are in {self.path}.{nearest(name, self._vectors)}")
        vectors = self._vectors[name]
        if vectors.shape[1] != len(vector):
            raise SensoriumError(
                f"a query of {len(vector)} numbers; the vectors of {name!r} in {self.path} have {vectors.shape[1]}"
            )
        query = np.ascontiguousarray(vector, np.float32)
        scores = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), _CHUNK):
            np.matmul(vectors[start : start + _CHUNK], query, out=scores[start : start + _CHUNK])
        best = top(scores, k)
        return list(zip(self._rows[name][best].tolist(), scores[best].tolist(), strict=True))

    def vectors(self, name: str, rows: Sequence[int] | None = None) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, "M D"]]:
        if rows is None:
            return self._rows[name], self._vectors[name]
        places = np.flatnonzero(np.isin(self._rows[name], np.array(rows, np.int64)))
        return self._rows[name][places], self._vectors[name][places]

    def count(self, name: str | None = None) -> int:
        return len(self._lines) if name is None else len(self._rows.get(name, ()))

    def close(self) -> None:
        """Lets go of the mapped files."""
        self._vectors, self._rows, self._lines, self._blob = {}, {}, [], np.zeros(0, np.uint8)

    def _read(self, manifest: dict[str, Any]) -> "Memory":
        folder, self._about = self.path / manifest["generation"], manifest["about"]
        _check_sizes(folder, manifest["files"])
        self._lines = (folder / "rows.jsonl").read_bytes().splitlines()
        self._vectors = {name: _load(folder / f"vectors-{name}.npy", "r") for name in manifest["fields"]}
        self._rows = {name: _load(folder / f"vectors-{name}.rows.npy") for name in manifest["fields"]}
        self._spans = _load(folder / "thumbnails.npy")
        empty = not manifest["files"]["thumbnails.bin"]  # an empty file cannot be mapped
        self._blob = np.zeros(0, np.uint8) if empty else np.memmap(folder / "thumbnails.bin", np.uint8, "r")
        return self

    def _write(self, folder: Path) -> list[str]:
        """Writes old and pending rows as the files of a generation; returns the fields that have vectors."""
        places = {json.loads(line)["id"]: row for row, line in enumerate(self._lines)}
        old = len(places)
        for key in self._pending:
            places.setdefault(key, len(places))
        replaced = np.array(sorted(places[key] for key in self._pending if places[key] < old), np.int64)
        lines = self._lines + [b""] * (len(places) - old)
        for key, entry in self._pending.items():
            lines[places[key]] = _line(entry.row)
        with replacing(folder / "rows.jsonl") as file:
            file.write_bytes(b"".join(line + b"\n" for line in lines))
        names = sorted(set(self._vectors) | {name for entry in self._pending.values() for name in entry.vectors})
        fields = [name for name in names if self._write_vectors(folder, name, places, replaced)]
        self._write_thumbnails(folder, places)
        return fields

    def _write_vectors(self, folder: Path, name: str, places: dict[str, int], replaced: Int[np.ndarray, " R"]) -> bool:
        new = [(places[key], entry.vectors[name]) for key, entry in self._pending.items() if name in entry.vectors]
        rows, vectors = [np.array([row for row, _ in new], np.int64)], [np.array([v for _, v in new], np.float32)]
        if name in self._vectors:
            stays = ~np.isin(self._rows[name], replaced)
            rows.append(self._rows[name][stays])
            vectors.append(self._vectors[name][stays])
        widths = sorted({v.shape[-1] for v in vectors if len(v)})
        if len(widths) > 1:
            raise SensoriumError(f"vectors of {name!r} have different lengths: {widths}")
        if not widths:
            return False
        order = np.argsort(np.concatenate(rows))
        _save(folder / f"vectors-{name}.npy", np.concatenate([v for v in vectors if len(v)])[order])
        _save(folder / f"vectors-{name}.rows.npy", np.concatenate(rows)[order])
        return True

    def _write_thumbnails(self, folder: Path, places: dict[str, int]) -> None:
        spans, offset = np.zeros((len(places), 2), np.int64), 0
        with replacing(folder / "thumbnails.bin") as path, open(path, "wb") as file:
            for key, row in places.items():
                entry = self._pending.get(key)
                picture = (entry.thumbnail if entry else self.thumbnail(row)) or b""
                spans[row] = offset, len(picture)
                offset += file.write(picture)
        _save(folder / "thumbnails.npy", spans)

    def _sweep(self, current: str, before: str | None) -> None:
        """Removes the replaced generation, and what killed writers left; a young stranger may be a writer at work."""
        for folder in self.path.glob("rows-*"):
            stale = folder.name == before or time.time() - folder.stat().st_mtime > _STALE
            if stale and folder.name != current:
                shutil.rmtree(folder, ignore_errors=True)


def top(scores: Float[np.ndarray, " M"], k: int) -> Int[np.ndarray, " K"]:
    """The places of the `k` largest scores, best first, equal ones in the order of their places; all where k is larger."""
    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > least)
        chosen = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]


def _ours(path: Path) -> bool:
    """Whether a folder is a collection, is empty, or holds only what a killed first commit has left."""
    if (path / MANIFEST).exists():
        return bool(_manifest(path))
    return path.is_dir() and all(child.name.startswith(("rows-", f".{MANIFEST}.")) for child in path.iterdir())


def _manifest(path: Path) -> dict[str, Any]:
    if not (path / MANIFEST).is_file():
        raise BadFile(f"{path}: no collection is here (it has no {MANIFEST}); make one with: sensorium index")
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadFile(f"{path / MANIFEST}: not a collection of the format {FORMAT}; make it anew with: sensorium index")
    return manifest


def _check_sizes(folder: Path, files: dict[str, int]) -> None:
    for name, size in files.items():  # reading past the end of a mapped file that was cut kills the process
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            raise BadFile(f"{path}: {'missing' if found is None else f'{found} bytes'}, expected {size} bytes; index it anew")


def _load(path: Path, mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        return np.load(path, mmap_mode=mode)
    except (ValueError, OSError) as error:
        raise BadFile(f"{path}: not an array: {error}; index it anew") from error


def _save(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


def _line(row: Row) -> bytes:
    try:
        return json.dumps(asdict(row), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise SensoriumError(f"item {row.id!r}: its metadata cannot be kept as JSON: {error}") from error


def _row(line: bytes) -> Row:
    values = json.loads(line)
    return Row(**{**values, "captions": tuple(values["captions"])})
