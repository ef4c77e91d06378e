"""Where each member of a tar file lies: read once from its headers, kept beside it, made anew when it changes."""

import hashlib
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import BadFile
from sensorium.core.files import replacing
from sensorium.core.limits import limits
from sensorium.data.columns import kind_of
from sensorium.data.listing import Problem, captions_in, decoded, problem
from sensorium.data.remote import Lost, Remote
from sensorium.modalities import MODALITIES

FORMAT = 2
DATA = (".json", ".cls", ".index")
"""Endings of members that say something about their item; the others that count are those of the modalities."""
ENDING = ".index.npz"


@dataclass(frozen=True)
class Index:
    """Members sorted by key: those from `starts[i]` to `starts[i + 1]` (not included) are item i."""

    names: tuple[str, ...]
    offsets: Int[np.ndarray, " members"]
    sizes: Int[np.ndarray, " members"]
    starts: Int[np.ndarray, " items_and_1"]
    problems: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def endings(self) -> set[str]:
        return {PurePosixPath(name).suffix.lower() for name in self.names}

    def members(self, i: int) -> list[tuple[str, int, int]]:
        """(name, offset, size) of the members of item i."""
        span = range(int(self.starts[i]), int(self.starts[i + 1]))
        return [(self.names[k], int(self.offsets[k]), int(self.sizes[k])) for k in span]


def key_of(name: str) -> str:
    """What the members of one item have in common: their path up to the first dot of the last part."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}".removeprefix("./")


def load(path: Path | Remote) -> Index:
    """The index of a tar file: the one beside it or in the cache where that is of this very file, else made and kept.

    That of a tar file behind an address is kept in the cache alone, and made anew when the size or the mark of the version
    (ETag, time) that its store tells changes.
    """
    size, version = _state(path)
    stamp = [FORMAT, size, version, _rules()]
    places = [_cached(path)] if isinstance(path, Remote) else [path.with_name(path.name + ENDING), _cached(path)]
    for place in places:
        if (index := _read(place, stamp, path)) is not None:
            return index
    index = build(path)
    for place in places:
        try:
            _write(place, stamp, path, index)
            break
        except OSError:  # a place that cannot be written; without any the index is made at every opening
            continue
    return index


def _state(path: Path | Remote) -> tuple[int, int]:
    """The size of a tar file, and a number that is another one when it was changed."""
    if isinstance(path, Remote):
        return path.state()
    try:
        status = path.stat()
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    return status.st_size, status.st_mtime_ns


def _rules() -> int:
    """What decides which members are kept beside the file itself: the kinds that there are now, and the limit of captions."""
    kinds = sorted((kind, list(modality.suffixes)) for kind, modality in MODALITIES.items())
    return zlib.crc32(json.dumps([kinds, list(MODALITIES), limits().caption_bytes]).encode())


def build(path: Path | Remote) -> Index:
    """The index from the headers of a tar file; captions, JSON and numbers are read too, and told where they cannot be used."""
    problems: list[Problem] = []
    found: list[tuple[str, str, int, int]] = []
    try:
        size = _state(path)[0]
        with path.seekable() if isinstance(path, Remote) else path.open("rb") as file:
            for member in _headers(file, path, problems):
                cause = _refusal(member, size)
                if cause:
                    problems.append(Problem(f"{path}/{member.name}", "shard", cause))
                elif member.isfile() and _counts(member.name):
                    place = (member.name, member.offset_data, member.size)
                    try:
                        _look(file, path, place)
                        found.append((key_of(member.name), *place))
                    except Lost:  # an index without this member would be kept
                        raise
                    except BadFile as error:
                        kind = kind_of(member.name) or "shard"
                        problems.append(problem(error, f"{path}/{member.name}", kind))
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    found = _once(path, found, problems)
    keys = [member[0] for member in found]
    starts = [i for i, key in enumerate(keys) if not i or keys[i - 1] != key]
    _, names, offsets, sizes = zip(*found, strict=True) if found else ((), (), (), ())
    return Index(
        names, np.array(offsets, np.int64), np.array(sizes, np.int64), np.array([*starts, len(keys)], np.int64), tuple(problems)
    )


def _headers(file: Any, path: Path | Remote, problems: list[Problem]) -> Iterator[tarfile.TarInfo]:
    """All headers up to the first that is damaged. `file` may be read at other places between one and the next."""
    try:
        tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 (closed below; an error here means another thing than one in the loop)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BadFile(f"{path}: not a tar file, or a damaged one: {error}") from error
    with tar:
        try:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined] # it would keep all of them
                yield member
            end = tar.offset
        except (tarfile.TarError, ValueError, EOFError) as error:
            problems.append(Problem(str(path), "shard", f"cut off or damaged ({error}): what is whole before it is used"))
            return
    file.seek(end)
    if file.read(512) != bytes(512):  # the end of a tar file is marked by empty blocks
        problems.append(Problem(str(path), "shard", f"damaged or cut off near byte {end}: what is whole before it is used"))


def _refusal(member: tarfile.TarInfo, size: int) -> str:
    """Why a member is not used, "" where it may be."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        return "its name leads out of the tar file: never followed"
    if member.issym() or member.islnk():
        return f"a link to {member.linkname}: never followed"
    if not (member.isfile() or member.isdir()):
        return "a device, pipe or unknown thing, not a file"
    if member.issparse():
        return "a sparse file, whose bytes do not lie in one piece"
    if member.isfile() and member.offset_data + member.size > size:
        return f"cut off: {max(0, size - member.offset_data)} of its {member.size} bytes are there"
    return ""


def _counts(name: str) -> bool:
    parts = PurePosixPath(name).parts
    known = kind_of(name) is not None or PurePosixPath(name).suffix.lower() in DATA
    return known and not any(part.startswith(".") and part != "." for part in parts)


def _look(file: Any, path: Path | Remote, place: tuple[str, int, int]) -> None:
    """Reads what says something about an item; `BadFile` where it cannot be used."""
    name, offset, size = place
    suffix, where = PurePosixPath(name).suffix.lower(), f"{path}/{name}"
    if suffix not in DATA and kind_of(name) != "text":
        return
    if size > (most := limits().caption_bytes):
        raise BadFile(f"{where}: {size} bytes are more than the limit of {most} (caption_bytes)")
    file.seek(offset)
    data = file.read(size)
    if suffix == ".json":
        try:
            value = json.loads(decoded(data, where))
        except (ValueError, RecursionError) as error:
            raise BadFile(f"{where}: not JSON: {error}") from error
        if not isinstance(value, dict):
            raise BadFile(f"{where}: a JSON {type(value).__name__}, expected an object")
    elif suffix in DATA:
        decoded(data, where)
    else:
        captions_in(data, where)


def _once(
    path: Path | Remote, found: list[tuple[str, str, int, int]], problems: list[Problem]
) -> list[tuple[str, str, int, int]]:
    """Sorted by key, and one member of a kind for each; the others are told."""
    used: dict[tuple[str, str], str] = {}
    out = []
    for member in found:
        what = (member[0], kind_of(member[1]) or PurePosixPath(member[1]).suffix.lower())
        if what in used:
            cause = f"ignored: {used[what]} is used for the item {member[0]!r}"
            problems.append(Problem(f"{path}/{member[1]}", what[1], cause))
        else:
            used[what] = member[1]
            out.append(member)
    return sorted(out, key=lambda member: member[0])


def _cached(path: Path | Remote) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(os.fsencode(path.url if isinstance(path, Remote) else path.resolve())).hexdigest()[:24]
    return Path(home) / "sensorium" / "tars" / f"{name}{ENDING}"


def _write(place: Path, stamp: list[int], path: Path | Remote, index: Index) -> None:
    """Keeps an index. Problems go by their member alone: the tar file may be called by another path, or moved with its index."""
    told = [[p.path.removeprefix(str(path)), p.kind, p.cause] for p in index.problems]
    about = {"names": list(index.names), "problems": told}
    with replacing(place) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            stamp=np.array(stamp, np.int64),
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            offsets=index.offsets,
            sizes=index.sizes,
            starts=index.starts,
        )


def _read(place: Path, stamp: list[int], path: Path | Remote) -> Index | None:
    """A kept index; None where there is none, or it is of another version of the file, or damaged."""
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if kept["stamp"].tolist() != stamp:
                return None
            about = json.loads(kept["about"].tobytes())
            problems = tuple(Problem(f"{path}{member}", kind, cause) for member, kind, cause in about["problems"])
            index = Index(tuple(about["names"]), kept["offsets"], kept["sizes"], kept["starts"], problems)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    fits = len(index.names) == len(index.offsets) == len(index.sizes) == index.starts[-1]
    return index if fits and (not len(index.sizes) or int((index.offsets + index.sizes).max()) <= stamp[1]) else None
