"""A folder of files as a source of batches. What cannot be read is missing from its row, and told."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePath
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from sensorium.core.batch import Batch, stack
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.protocols import Item, Modality, Raw, Reject, Stored, Taken
from sensorium.data.fields import captions
from sensorium.data.listing import Lazy, Problem, problem
from sensorium.modalities import BadRaw
from sensorium.modalities.sound_file import NoSound

REMEMBERED = 256 * 2**20
"""Bytes of prepared arrays that are kept. Once full it stays as it is: to drop rows in turn would help no epoch."""
Arrays = dict[str, np.ndarray]


@runtime_checkable
class Drawing(Protocol):
    """A modality that may prepare a thing in several ways (another window of a sound), of which `draw` picks one."""

    @property
    def draws(self) -> bool: ...

    def prepare(self, raw: Raw, draw: int = 0) -> dict[str, np.ndarray]: ...


class Folder:
    """Items of files, by row: a `Source`. It may be read from several threads at once, and sent to other processes.

    `broken` fills as files fail to decode, each told once; their rows are blank, with `here` False. `problems` were known
    before (a manifest that names absent files, captions that are not UTF-8, …). Up to `remember` bytes (`REMEMBERED`) of
    prepared arrays are kept in each process.
    """

    def __init__(
        self,
        items: Sequence[Item],
        fields: Sequence[Modality],
        problems: Sequence[Problem] = (),
        remember: int | None = None,
    ):
        names = [field.name for field in fields]
        if len(set(names)) != len(names):
            raise ValueError(f"two fields have one name: {names}")
        self.items = items
        self.fields = tuple(fields)
        self.problems = tuple(problems)
        self.broken: list[Problem] = []
        self._blanks = {field.name: field.blank() for field in fields}
        self._remember = REMEMBERED if remember is None else remember
        self._fingerprint = ""
        self._forget()

    def __len__(self) -> int:
        return len(self.items)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_lock", "_kept", "_room")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def name(self, row: int) -> str:
        return self.items[row].id

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        """The batch of some rows: the arrays of every field, `<field>/here`, and `group`, the row's number in this folder.

        Of several captions of an item, `draw` picks one: the same one for equal (item id, draw), here and on any machine.
        """
        return self.take(rows, draw).batch

    def take(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken:
        """`read`, with how many raw things were asked for and those that could not be read."""
        numbers = [int(row) for row in rows]
        if not numbers:
            raise ValueError("no rows to read")
        if min(numbers) < 0 or max(numbers) >= len(self):
            raise IndexError(f"rows {min(numbers)} to {max(numbers)} of a folder of {len(self)} items")
        items = [self.items[row] for row in numbers]
        batch: Batch = {"group": np.array(numbers, np.int32)}
        asked, rejects = 0, []
        for field in self.fields:
            found = [self._arrays(field, row, item, draw) for row, item in zip(numbers, items, strict=True)]
            asked += sum(one is not None for one in found)
            rejects += [one for one in found if isinstance(one, Reject)]
            here = np.array([isinstance(one, dict) for one in found])
            blank = self._blanks[field.name]
            batch |= stack([one if isinstance(one, dict) else blank for one in found])
            batch[f"{field.name}/here"] = here
        return Taken(batch, asked, tuple(rejects))

    def fingerprint(self) -> str:
        """A hash of the items (their ids, and what each holds by name) and of the fields: of what decides the batches."""
        if not self._fingerprint:
            digest = hashlib.sha256()
            for field in self.fields:
                digest.update(_text([field.kind, asdict(field)]))  # type: ignore[call-overload]
            for item in () if isinstance(self.items, Lazy) else self.items:
                digest.update(_text([item.id, {kind: [_name(raw) for raw in raws] for kind, raws in item.raws.items()}]))
            if isinstance(self.items, Lazy):
                digest.update(self.items.fingerprint().encode())
            self._fingerprint = digest.hexdigest()[:32]
        return self._fingerprint

    def groups(self) -> Int[np.ndarray, " N"]:
        """A number for each row, equal for items of one group (`Item.group`); of an item without a group its own. See
        `orders.Apart`."""
        numbers: dict[tuple[str, str], int] = {}
        names = (("group", item.group) if item.group else ("id", item.id) for item in self.items)
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)

    def raw(self, row: int, kind: str) -> tuple[Raw, ...]:
        """The alternatives that an item has of a kind (a path, or captions); none where it is missing."""
        return self.items[row].raws.get(kind, ())

    def captions(self) -> list[str]:
        """All captions of all items."""
        return captions(self.items)

    def _arrays(self, field: Modality, row: int, item: Item, draw: int) -> Arrays | Reject | None:
        """One field of one item; None where it is missing."""
        raws = item.raws.get(field.kind)
        if not raws:
            return None
        which = _drawn(item.id, draw, len(raws))
        key = (field.name, row, which)
        if key in self._kept:
            return self._kept[key]
        raw = raws[which]
        try:
            drawn = isinstance(field, Drawing) and field.draws
            given = {"draw": _mixed(item.id, draw) >> 32} if drawn else {}
            arrays = field.prepare(opened(raw), **given)
        except NoSound:  # a video whose sound was asked for has none: nothing is broken
            return None
        except Exception as error:
            if not is_fault(error):
                raise
            return self._reject(key, field.kind, item, raw, error)
        if drawn:
            return arrays
        size = sum(array.nbytes for array in arrays.values())
        with self._lock:
            if size <= self._room and key not in self._kept:
                self._room -= size
                self._kept[key] = arrays
        return arrays

    def _reject(self, key: tuple[str, int, int], kind: str, item: Item, raw: Raw, error: Exception) -> Reject:
        broken = problem(error, str(raw) if isinstance(raw, Path | Stored) else item.id, kind)
        reject = Reject(broken.path, item.line, kind, broken.cause)
        with self._lock:
            self._kept[key] = reject
            if broken not in self.broken:  # another thread, or another row with this file, has told it
                self.broken.append(broken)
        return reject

    def _forget(self) -> None:
        self._kept: dict[tuple[str, int, int], Arrays | Reject] = {}
        self._room = self._remember
        self._lock = Lock()


def is_fault(error: Exception) -> bool:
    """Whether an exception of `prepare` says that the raw thing is to blame. A user's own modality and its libraries raise what
    they like; of our errors `BadFile` and `BadRaw` do, and a library that is not installed or a wrong setting does not."""
    return isinstance(error, BadFile | BadRaw) or not isinstance(error, SensoriumError)


def opened(raw: Raw) -> Raw:
    """What a modality takes: of a thing that lies inside something else, its bytes. `BadFile` where they cannot be had."""
    return raw.read() if isinstance(raw, Stored) else raw


def _name(raw: Raw) -> str:
    """What tells a raw thing from others of its item: a file's name, wherever the data lie; a caption; what an array holds."""
    if isinstance(raw, Path | Stored):
        return PurePath(str(raw)).name
    if isinstance(raw, np.ndarray):
        return f"{raw.dtype}{list(raw.shape)} {zlib.crc32(np.ascontiguousarray(raw).tobytes()):08x}"
    return str(raw)


def _text(value: Any) -> bytes:
    return json.dumps(value, default=str).encode("utf-8", "surrogatepass")


def _mixed(id: str, draw: int) -> int:
    """64 bits that look random and depend on (id, draw) only."""
    return zlib.crc32(f"{id}\0{draw}".encode("utf-8", "surrogatepass")) * 0x9E3779B97F4A7C15 % 2**64


def _drawn(id: str, draw: int, n: int) -> int:
    """A number below `n`."""
    return 0 if n == 1 else (_mixed(id, draw) >> 32) % n  # the upper half: the low bits of a CRC of similar texts go in step
