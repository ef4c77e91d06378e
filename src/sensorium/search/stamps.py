"""Whether a thing is the one that was indexed: by the sizes of its files, then by their times, then by their bytes."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.files import sha256
from sensorium.core.protocols import Item, Raw, Stored
from sensorium.data.cells import Cell
from sensorium.data.remote import Remote, is_address
from sensorium.data.shards import Member
from sensorium.search.cutting import RULES


@dataclass(frozen=True)
class Stamp:
    """What an item was when it was indexed. `rest`: a hash of all that is no file; `files`: name -> (bytes, time, SHA-256)."""

    rest: str
    files: dict[str, tuple[int, int, str]]

    def to_json(self) -> str:
        return json.dumps({"rest": self.rest, "files": self.files})

    @classmethod
    def from_json(cls, text: str) -> "Stamp":
        said = json.loads(text)
        return cls(said["rest"], {name: (size, time, digest) for name, (size, time, digest) in said["files"].items()})


def stamp(item: Item, root: Path | None, before: Stamp | None = None) -> Stamp:
    """What an item is now; files below `root` are called by where they lie in it. Bytes are read only where sizes are as they
    were `before` and times are not, and where nothing is known."""
    known = before.files if before else {}
    files = {}
    for name, raw in _files(item, root):
        size, time = _seen(raw)
        was = known.get(name)
        same = was is not None and was[:2] == (size, time)
        files[name] = (size, time, was[2] if same and was else _digest(raw))
    return Stamp(_rest(item, root), files)


def same(a: Stamp, b: Stamp) -> bool:
    """Whether the bytes are the same, whatever the times are."""
    return a.rest == b.rest and {n: f[2] for n, f in a.files.items()} == {n: f[2] for n, f in b.files.items()}


def _files(item: Item, root: Path | None) -> Iterator[tuple[str, Path | Stored]]:
    """Each file once: that of the clip may be that of its sound."""
    found = {called(raw, root): raw for raws in item.raws.values() for raw in raws if isinstance(raw, Path | Stored)}
    yield from sorted(found.items())


def called(raw: Path | Stored, root: Path | None) -> str:
    """A file by its path below `root`, else by its whole name; told in JSON, names that are no UTF-8 come back as they were."""
    if not isinstance(raw, Path):
        return str(raw)
    whole = Path(os.path.abspath(raw))
    return whole.relative_to(root).as_posix() if root is not None and whole.is_relative_to(root) else str(whole)


def _rest(item: Item, root: Path | None) -> str:
    kinds = {kind: [_name(raw, root) for raw in raws] for kind, raws in item.raws.items()}
    text = json.dumps([RULES, kinds, item.metadata], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _name(raw: Raw, root: Path | None) -> Any:
    """What a thing is called, or what it is where it has no name."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, Path | Stored):
        return called(raw, root)
    if isinstance(raw, bytes):
        return hashlib.sha256(raw).hexdigest()
    if isinstance(raw, np.ndarray):
        return [str(raw.dtype), raw.shape, hashlib.sha256(np.ascontiguousarray(raw).tobytes()).hexdigest()]
    return [_name(part, root) for part in raw] if isinstance(raw, tuple | list) else repr(raw)


def _seen(raw: Path | Stored) -> tuple[int, int]:
    """Bytes, and when it was changed (ns); of what lies in a tar file or a table, those of that. (-1, 0) where it is not
    there."""
    try:
        if isinstance(raw, Remote):
            return raw.state()
        holder = raw.tar if isinstance(raw, Member) else raw.file if isinstance(raw, Cell) else raw
        if isinstance(holder, str) and is_address(holder):
            return Remote(holder).state()
        if isinstance(holder, str | Path):
            stats = [os.stat(path) for path in _all(Path(holder))]
            return sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)
    except (OSError, BadFile, ValueError):
        pass
    return -1, 0


def _digest(raw: Path | Stored) -> str:
    """SHA-256 of the bytes; of a folder of frames that of their names and bytes. "" where they cannot be read."""
    try:
        if isinstance(raw, Stored):
            return hashlib.sha256(raw.read()).hexdigest()
        if not raw.is_dir():
            return sha256(raw)
        whole = hashlib.sha256()
        for path in _all(raw):
            whole.update(f"{path.name}\0{sha256(path)}\n".encode("utf-8", "surrogatepass"))
        return whole.hexdigest()
    except (OSError, BadFile):
        return ""


def _all(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_file()) if path.is_dir() else [path]
