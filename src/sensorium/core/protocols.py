"""The contracts of data. A part is anything that fits one: there is no base class to inherit from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sensorium.core.batch import Batch

Raw = Any
"""What a user has: a path, bytes, a string, a PIL image, an array, an (array, rate) pair. Each modality says what it takes."""


@runtime_checkable
class Modality(Protocol):
    """How one kind of raw thing becomes fixed-shape arrays and back. It owns the units of its field.

    `kind` names the modality in files; `folder` and `suffixes` say where a folder of files keeps it; `tower` names the
    encoder that a recipe gives it unless told otherwise.
    """

    kind: ClassVar[str]
    folder: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    tower: ClassVar[str]

    @property
    def name(self) -> str: ...

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """One item as arrays: `{name: …}` and parts `{name/part: …}`, always of the same shapes and dtypes."""
        ...

    def blank(self) -> dict[str, np.ndarray]:
        """Arrays of the shapes and dtypes of `prepare`, to hold the place of a missing item (its row's `here` is False)."""
        ...

    def show(self, x: np.ndarray) -> Any:
        """The inverse of `prepare`, as far as there is one: something a person can look at, read or play."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A raw thing that lies inside something else: a member of a tar file, a cell of a table, an object in a bucket.

    `read()` gives the bytes of its file; `str()` says where it lies, as errors have it. It can be pickled, and holds no handle.
    """

    def read(self) -> bytes: ...


@runtime_checkable
class Source(Protocol):
    """A random-access store of items.

    `read(rows, draw)` gives the batch of those rows, with `"group"` and a `<field>/here` for each field; where an item has
    alternatives (several captions), `draw` (any integer) picks one, the same one for the same (row, draw).
    """

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch: ...


class Reject(NamedTuple):
    """A raw thing that was asked for and could not be read: its row is absent (`here` False). `line`: of the manifest, or 0."""

    file: str
    line: int
    kind: str
    cause: str


class Taken(NamedTuple):
    """A batch, how many raw things were asked for to make it, and those of them that could not be read."""

    batch: Batch
    asked: int
    rejects: tuple[Reject, ...]


@runtime_checkable
class Taking(Protocol):
    """A source that says what it could not read, and who it is: equal fingerprints, equal batches."""

    def take(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken: ...

    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Item:
    """One item of a collection of files: what is held of it for each field, by the field's kind.

    `raws[kind]` is a tuple of alternatives: paths (or `Stored`) for files, strings for captions; what is missing is an absent
    key. Items of one `group` (the frames of a film, the visits of a patient) stay on one side of a split; without a group the
    item stands for itself. `line`: its line in the manifest that it comes from, 0 where it comes from none.
    """

    id: str
    raws: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    line: int = 0
