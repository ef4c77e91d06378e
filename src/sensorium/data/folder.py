"""A folder of files as a source of batches. What cannot be read is missing from its row, and told."""

import zlib
from collections.abc import Sequence
from threading import Lock

import numpy as np

from sensorium.core.batch import Batch, stack
from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.data.fields import captions
from sensorium.data.listing import Problem, problem
from sensorium.modalities import BadRaw

REMEMBERED = 256 * 2**20
"""Bytes of prepared arrays that are kept. Once full it stays as it is: to drop rows in turn would help no epoch."""
Arrays = dict[str, np.ndarray]


class Folder:
    """Items of files, by row: a `Source`. It may be read from several threads at once.

    `broken` fills as files fail to decode, each told once; their rows are blank, with `here` False. `problems` were known
    before (a manifest that names absent files, captions that are not UTF-8, …). Up to `remember` bytes (`REMEMBERED`) of
    prepared arrays are kept; fields that prepare a thing another way every time want 0.
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
        self.items = tuple(items)
        self.fields = tuple(fields)
        self.problems = tuple(problems)
        self.broken: list[Problem] = []
        self._blanks = {field.name: field.blank() for field in fields}
        self._kept: dict[tuple[str, int, int], Arrays | None] = {}
        self._room = REMEMBERED if remember is None else remember
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.items)

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        """The batch of some rows: the arrays of every field, `<field>/here`, and `group`, the row's number in this folder.

        Of several captions of an item, `draw` picks one: the same one for equal (item id, draw), here and on any machine.
        """
        numbers = [int(row) for row in rows]
        if not numbers:
            raise ValueError("no rows to read")
        if min(numbers) < 0 or max(numbers) >= len(self):
            raise IndexError(f"rows {min(numbers)} to {max(numbers)} of a folder of {len(self)} items")
        batch: Batch = {"group": np.array(numbers, np.int32)}
        for field in self.fields:
            found = [self._arrays(field, row, draw) for row in numbers]
            blank = self._blanks[field.name]
            batch |= stack([blank if arrays is None else arrays for arrays in found])
            batch[f"{field.name}/here"] = np.array([arrays is not None for arrays in found])
        return batch

    def raw(self, row: int, kind: str) -> tuple[Raw, ...]:
        """The alternatives that an item has of a kind (a path, or captions); none where it is missing."""
        return self.items[row].raws.get(kind, ())

    def captions(self) -> list[str]:
        """All captions of all items."""
        return captions(self.items)

    def _arrays(self, field: Modality, row: int, draw: int) -> Arrays | None:
        """One field of one item; None where it is missing or broken."""
        raws = self.raw(row, field.kind)
        if not raws:
            return None
        which = _drawn(self.items[row].id, draw, len(raws))
        key = (field.name, row, which)
        if key in self._kept:
            return self._kept[key]
        try:
            arrays = field.prepare(raws[which])
        except (BadFile, BadRaw) as error:
            self._tell(key, problem(error, raws[which], field.kind))
            return None
        size = sum(array.nbytes for array in arrays.values())
        with self._lock:
            if size <= self._room and key not in self._kept:
                self._room -= size
                self._kept[key] = arrays
        return arrays

    def _tell(self, key: tuple[str, int, int], broken: Problem) -> None:
        with self._lock:
            self._kept[key] = None
            if broken not in self.broken:  # another thread, or another row with this file, has told it
                self.broken.append(broken)


def _drawn(id: str, draw: int, n: int) -> int:
    """A number below `n` that looks random and depends on (id, draw) only."""
    if n == 1:
        return 0
    mixed = zlib.crc32(f"{id}\0{draw}".encode("utf-8", "surrogatepass")) * 0x9E3779B97F4A7C15 % 2**64
    return (mixed >> 32) % n  # the upper half: the low bits of a CRC of similar texts go in step
