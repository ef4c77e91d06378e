"""WebDataset shards (tar files) with random access: an index of each is built once and kept; nothing is unpacked."""

import glob
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, overload

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.core.protocols import Item
from sensorium.data.columns import NAMES, kind_of
from sensorium.data.listing import Listing, Problem, captions_in, decoded
from sensorium.data.remote import Remote, is_address, matching
from sensorium.data.sides import known, meanings
from sensorium.data.tar_index import Index, key_of, load

Shard = Path | Remote
COMPRESSED = (".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst", ".tzst")


@dataclass(frozen=True)
class Member:
    """A file inside a tar file: a `Stored` thing."""

    tar: str
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.tar}/{self.name}"

    def read(self) -> bytes:
        """Its bytes; `BadFile` where they are more than the limit, or the tar file has been cut since it was indexed."""
        if self.size > (most := limits().stored_bytes):
            raise BadFile(f"{self}: {self.size} bytes are more than the limit of {most} (SENSORIUM_LIMITS, stored_bytes)")
        if is_address(self.tar):
            data = Remote(self.tar).piece(self.offset, self.size)
            if len(data) == self.size:
                return data
            there = "more than" if len(data) > self.size else f"{len(data)} of"
            raise BadFile(f"{self}: {there} its {self.size} bytes came: it was cut off, or its store knows no ranges")
        try:
            with open(self.tar, "rb", buffering=0) as file:  # a handle that is kept would go on reading a tar that was replaced
                data = os.pread(file.fileno(), self.size, self.offset)
        except OSError as error:
            raise BadFile(f"{self}: {error.strerror or error}") from error
        if len(data) < self.size:
            raise BadFile(f"{self}: {len(data)} of its {self.size} bytes are there: the tar file was cut off")
        return data


class Members(Sequence[Item]):
    """The items of some shards, sorted by id (`<shard>/<key>`); captions and metadata are read as an item is asked for.

    A shard is called by its name without the suffix; where two have one name, in several folders, by their paths.
    """

    def __init__(self, shards: Sequence[tuple[Shard, Index]]):
        self._shards = tuple(shards)
        self._ends = np.cumsum([len(index) for _, index in shards])
        names = names_of([path for path, _ in shards])
        self._names = [names[path] for path, _ in shards]
        words = [_word(path) for path, _ in shards]
        means = meanings(words) if len(set(words)) > 1 else {}  # all in one: then nobody has split them yet
        self._sides = [means.get(word, "") for word in words]

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, i: int) -> Item: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, i: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(len(self))))
        i = range(len(self))[i]
        shard = int(np.searchsorted(self._ends, i, side="right"))
        path, index = self._shards[shard]
        found = [Member(str(path), *member) for member in index.members(i - (int(self._ends[shard - 1]) if shard else 0))]
        return _item(f"{self._names[shard]}/{key_of(found[0].name)}", found, self._sides[shard])

    def sides(self) -> tuple[list[str], list[str]]:
        """For each item its group, or else its id, and its split; items are read only where they have JSON, which may say so."""
        names: list[str] = []
        said: list[str] = []
        ends = [0, *self._ends.tolist()]
        for (_, index), name, side, start, end in zip(self._shards, self._names, self._sides, ends, ends[1:], strict=False):
            if ".json" in index.endings:
                items = [self[i] for i in range(start, end)]
                names += [item.group or item.id for item in items]
                said += [str(item.metadata.get("split", "")) for item in items]
            else:
                names += [f"{name}/{key_of(index.names[first])}" for first in index.starts[:-1]]
                said += [side] * len(index)
        return names, said

    def fingerprint(self) -> str:
        """A hash of the names and sizes of all members."""
        digest = hashlib.sha256()
        for name, (_, index) in zip(self._names, self._shards, strict=True):
            digest.update(json.dumps([name, index.names, index.sizes.tolist()]).encode())
        return digest.hexdigest()


def is_shards(uri: str) -> bool:
    """Whether a text names tar files: one, a glob, or a range in braces."""
    name = PurePosixPath(uri).name.lower()
    return name.endswith((".tar", *(f".tar{suffix}" for suffix in COMPRESSED), ".tgz", ".tbz", ".tbz2", ".txz", ".tzst"))


def scan(paths: Sequence[Shard]) -> Listing:
    """The items of some tar files. Members with one path up to the first dot of their name are one item; their suffixes say
    what they are, as in a folder; of `.json` the captions are used and the rest is metadata, as `.cls` and other numbers are.

    Links, devices, absolute names and those that lead out (`../`) are never followed: they are problems. Of a tar file that
    is cut off what is whole is used. `BadFile` where a tar file is compressed, or nothing can be used.
    """
    if packed := [path for path in paths if path.suffix.lower() in COMPRESSED]:
        raise BadFile(f"{packed[0]}: compressed: decompress it first (gunzip): random access needs a plain tar file")
    shards: list[tuple[Shard, Index]] = []
    problems: list[Problem] = []
    names = names_of(paths)
    for path in sorted(names, key=lambda path: f"{names[path]}/"):
        index = load(path)
        problems += index.problems
        shards += [(path, index)] if len(index) else []
    if not shards:
        raise BadFile(
            f"{paths[0]}: no item in it that can be used. {'; '.join(map(str, problems[:3]))} Expected members as cat.jpg, "
            "cat.txt, cat.json, cat.wav"
        )
    items = Members(shards)
    kinds = sorted({ending for _, index in shards for ending in index.endings})
    many = f"{len(shards)} tar shards" if len(shards) > 1 else f"tar shard {shards[0][0].name}"
    layout = f"{many}: members with equal names up to the first dot are one item ({', '.join(kinds)})"
    return Listing(paths[0].parent, items, tuple(problems), layout)


def expand(uri: str) -> list[Path]:
    """The files that a pattern names: `train-{000..009}.tar`, `train-*.tar`, one name. `BadFile` where one is absent."""
    paths: list[Path] = []
    for name in _without_braces(uri):
        there = Path(name).exists()  # a file may have brackets in its name
        found = [name] if there or not glob.has_magic(name) else sorted(glob.glob(name, recursive=True))
        if not found or (found == [name] and not there):
            raise BadFile(f"{name}: no such file" + (f" (of {uri})" if name != uri else ""))
        paths += map(Path, found)
    return paths


def expand_remote(url: str) -> list[Remote]:
    """The same for addresses; names in braces are taken as they are, and found absent when they are read."""
    out: list[Remote] = []
    for name in _without_braces(url):
        out += matching(Remote(name)) if "*" in name else [Remote(name)]
    return out


def _without_braces(uri: str) -> list[str]:
    names = [uri]
    while any("{" in name for name in names):
        names = [one for name in names for one in _braces(name)]
    return names


def _braces(name: str) -> list[str]:
    head, _, rest = name.partition("{")
    inside, closed, tail = rest.partition("}")
    if not closed:
        raise BadFile(f"{name}: a brace that is not closed: expected {{000..009}} or {{a,b}}")
    if numbers := re.fullmatch(r"(\d+)\.\.(\d+)", inside):
        first, last = numbers.groups()
        return [f"{head}{number:0{len(first)}d}{tail}" for number in range(int(first), int(last) + 1)]
    return [f"{head}{one}{tail}" for one in inside.split(",")]


def _item(id: str, members: Sequence[Member], side: str) -> Item:
    raws: dict[str, tuple[Any, ...]] = {}
    metadata: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for member in members:
        ending = PurePosixPath(member.name).suffix.lower()
        kind = kind_of(member.name)
        if ending == ".json":
            told |= json.loads(decoded(member.read(), member))
        elif ending in (".cls", ".index"):
            text = decoded(member.read(), member).strip()
            metadata[ending[1:]] = int(text) if re.fullmatch(r"-?\d+", text) else text
        elif kind == "text":
            raws["text"] = captions_in(member.read(), member)
        elif kind is not None and kind not in raws:
            raws[kind] = (member,)
    caption = next((name for name in NAMES["text"] if told.get(name)), None)
    if caption and "text" not in raws:
        said = told.pop(caption)
        raws["text"] = tuple(str(one) for one in said) if isinstance(said, list) else (str(said),)
    metadata |= told
    own = known(str(metadata.get("split", "")))
    if own or side:
        metadata["split"] = own or side
    group = next((str(told[name]) for name in NAMES["group"] if told.get(name) is not None), "")
    return Item(id, raws, metadata, group)


def names_of(paths: Sequence[Shard]) -> dict[Shard, str]:
    """What the shards are called in ids: each by its own name, those of equal names by their paths below what all share."""
    paths = list(dict.fromkeys(paths))
    often = Counter(path.stem for path in paths)
    places = [path.place if isinstance(path, Remote) else str(path) for path in paths]
    root = os.path.commonpath([os.path.dirname(place) for place in places])
    below = {
        path: PurePosixPath(os.path.relpath(place, root or ".").replace(os.sep, "/"))
        for path, place in zip(paths, places, strict=True)
    }
    return {path: path.stem if often[path.stem] == 1 else below[path].with_suffix("").as_posix() for path in paths}


def _word(path: Shard) -> str:
    """The split that a shard's name begins with, as in `train-000.tar`, or else that of its folder; "" where neither does."""
    words = [found.group() for text in (path.stem, path.parent.name) if (found := re.match(r"[a-z]*", text.lower()))]
    return next((known(word) for word in words if known(word)), "")
