"""What was found in a folder: its items, and what is wrong with it."""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.limits import limits
from sensorium.core.protocols import Item, Stored
from sensorium.data.remote import Remote


@dataclass(frozen=True)
class Problem:
    """Something that is left out. `kind`: the modality it belongs to, or "manifest", "shard" or "folder"."""

    path: str
    kind: str
    cause: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.cause}")


@dataclass(frozen=True)
class Listing:
    """The items of a folder, sorted by id; nothing but caption files and manifests has been read yet.

    `items` may be `Lazy`: made as they are asked for, in the order of their tables. `layout` says in a sentence how the files
    were understood. `unused`: files that belong to no item. `manifest`: the file through which the items are read, and
    `columns`: which of its columns hold what. `sources`: of several together, the first part of the ids of each (`several`).
    """

    root: Path | Remote
    items: Sequence[Item]
    problems: tuple[Problem, ...]
    layout: str = ""
    unused: tuple[Path | Remote, ...] = ()
    manifest: Path | Remote | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


@runtime_checkable
class Lazy(Protocol):
    """Items that are made as they are asked for, and what can be said of them all without making them."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> Item: ...

    def sides(self) -> tuple[list[str], list[str]]:
        """For each item its group, or else its id; and the split that its source gives it, or ""."""
        ...

    def fingerprint(self) -> str:
        """A hash of what decides the items."""
        ...


def captions_of(file: Path | Stored) -> tuple[str, ...]:
    """The captions in a text file: one a line, blank lines skipped; `BadFile` where it is not text, or has none."""
    most = limits().caption_bytes
    try:
        if not isinstance(file, Path):
            data = file.read()
        elif file.exists() and not file.is_file():  # to open a pipe would wait for ever
            raise BadFile(f"{file}: not an ordinary file")
        else:
            with file.open("rb") as opened:
                data = opened.read(most + 1)
    except OSError as error:
        raise BadFile(f"{file}: {error.strerror or error}") from error
    if len(data) > most:
        size = file.stat().st_size if isinstance(file, Path) else len(data)
        raise BadFile(f"{file}: {size} bytes are more than the limit of {most} for the captions of one item")
    return captions_in(data, file)


def captions_in(data: bytes, where: object) -> tuple[str, ...]:
    """The captions in the bytes of a text file, as `captions_of` has them."""
    text = decoded(data, where)
    if "\0" in text:
        raise BadFile(f"{where}: a NUL (character {text.index(chr(0))}) in it: not a text file, or a damaged one")
    captions = tuple(line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip())
    if not captions:
        raise BadFile(f"{where}: no caption in it, only blank lines" if text else f"{where}: the file is empty (0 bytes)")
    return captions


def decoded(data: bytes, where: object) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark; `BadFile` with the byte and its place where it is neither."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        at = f"(byte {error.object[error.start]:#04x} at {error.start})"
        if utf16:
            raise BadFile(f"{where}: not UTF-16 {at}, though its first bytes say so: save it as UTF-8") from error
        raise BadFile(f"{where}: not UTF-8 {at}; perhaps it is Latin-1: save it as UTF-8") from error


def problem(error: Exception, path: object, kind: str) -> Problem:
    """An error about `path` as a `Problem`: its cause without the path that it starts with; of a library's its type, too."""
    if isinstance(error, SensoriumError):
        return Problem(str(path), kind, str(error).removeprefix(f"{path}: "))
    return Problem(str(path), kind, " ".join(f"{type(error).__name__}: {error}".split()))


def printable(text: str) -> str:
    """A text for any terminal, that stays on its line: names of files may hold newlines, and bytes that are no UTF-8."""
    text = re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found.group())[1:-1], text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
