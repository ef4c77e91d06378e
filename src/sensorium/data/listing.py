"""What was found in a folder: its items, and what is wrong with it."""

import re
from dataclasses import dataclass
from pathlib import Path

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.protocols import Item

MOST_CAPTION_BYTES = 2**20


@dataclass(frozen=True)
class Problem:
    """Something that is left out. `kind`: the modality it belongs to, or "manifest" or "folder"."""

    path: str
    kind: str
    cause: str

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}"


@dataclass(frozen=True)
class Listing:
    """The items of a folder, sorted by id; nothing but caption files and manifests has been read yet.

    `layout` says in a sentence how the files were understood. `unused`: files that belong to no item.
    """

    root: Path
    items: tuple[Item, ...]
    problems: tuple[Problem, ...]
    layout: str = ""
    unused: tuple[Path, ...] = ()


def captions_of(path: Path) -> tuple[str, ...]:
    """The captions in a text file: one a line, blank lines skipped; `BadFile` where it is not UTF-8, or has none."""
    try:
        if (size := path.stat().st_size) > MOST_CAPTION_BYTES:
            raise BadFile(f"{path}: {size} bytes are more than the limit of {MOST_CAPTION_BYTES} for the captions of one item")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadFile(
            f"{path}: not UTF-8 (byte {error.object[error.start]:#04x} at {error.start}); perhaps it is Latin-1: save it as UTF-8"
        ) from error
    captions = tuple(line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip())
    if not captions:
        raise BadFile(f"{path}: no caption in it, only blank lines" if text else f"{path}: the file is empty (0 bytes)")
    return captions


def problem(error: SensoriumError, path: Path | str, kind: str) -> Problem:
    """An error about `path` as a `Problem`: its cause without the path that it starts with."""
    return Problem(str(path), kind, str(error).removeprefix(f"{path}: "))
