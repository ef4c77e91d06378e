"""Where the processes that made a shard died: so the next one knows, and halves what killed them until one record is left.

A process writes down which piece of the shard it is at before it touches it. Whoever finds such a mark while nobody holds the
shard's lock knows that its writer died there. A piece that kills twice (once may be chance: a machine that was taken away) is
cut in halves, and a single record that kills twice is put aside. Whatever restarts the process (a supervisor, Ray, SLURM, a
person) needs to know nothing of it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.files import read_json

BLOCK = 128
"""Items a piece: what is embedded at once."""
CHANCE = 2
"""Deaths at a piece that are not chance any more."""
SPARED = 16
"""Records of a shard that may be put aside however small it is; of a large one a tenth."""
Piece = tuple[int, int]
"""The items from the first number up to the second, counted in the shard."""


class GivenUp(SensoriumError):
    """So many records of a shard failed that the records are hardly to blame."""


@dataclass
class Trail:
    """`pieces`: what is still to do, those under suspicion first. `bad`: the records that were put aside, and why."""

    path: Path
    size: int
    pieces: list[Piece]
    bad: dict[int, str]
    deaths: dict[Piece, int]

    @classmethod
    def open(cls, path: Path, size: int) -> "Trail":
        """For a shard of `size` items; to be called by the one who holds the shard's lock."""
        try:
            told = read_json(path)
        except BadFile:  # none, or one that a machine that lost its power has left
            told = {"at": None, "pieces": [], "bad": {}, "deaths": []}
        trail = cls(path, size, [], {int(k): why for k, why in told["bad"].items()}, {})
        trail.deaths = {(low, high): count for low, high, count in told["deaths"]}
        cut = [(low, high) for low, high in told["pieces"]]
        covered = {k for low, high in cut for k in range(low, high)} | trail.bad.keys()
        whole = [(low, min(low + BLOCK, size)) for low in range(0, size, BLOCK)]
        trail.pieces = cut + [piece for piece in whole if piece[0] not in covered]
        if told["at"] is not None:
            trail._died((told["at"][0], told["at"][1]))
            trail._write(None)
        return trail

    def at(self, piece: Piece | None) -> None:
        """Marks the piece as being worked on; None: nothing is."""
        self._write(piece)

    def failed(self, piece: Piece, why: str) -> None:
        """A piece that cannot be embedded is replaced by its halves; a single record is put aside. `GivenUp` if too many are."""
        low, high = piece
        self.pieces.remove(piece)
        if high - low > 1:
            middle = (low + high) // 2
            self.pieces[:0] = [(low, middle), (middle, high)]
            return
        self.bad[low] = why
        if len(self.bad) > max(SPARED, self.size // 10):
            self._write(None)
            raise GivenUp(f"{len(self.bad)} of {self.size} records were put aside, the last one as: {why}")

    def _died(self, piece: Piece) -> None:
        """A part of a piece that is known to kill is halved at once."""
        if piece not in self.pieces:  # another version of this file cut them
            return
        count = self.deaths[piece] = self.deaths.get(piece, 0) + 1
        known = piece[0] % BLOCK or piece[1] != min(piece[0] + BLOCK, self.size)
        if count >= (1 if known and piece[1] - piece[0] > 1 else CHANCE):
            self.failed(piece, f"the process that embedded it was killed by it {count} times, and it alone")
        else:
            self.pieces.remove(piece)
            self.pieces.insert(0, piece)

    def _write(self, piece: Piece | None) -> None:
        cut = [(low, high) for low, high in self.pieces if low % BLOCK or high != min(low + BLOCK, self.size)]
        deaths = [(low, high, count) for (low, high), count in self.deaths.items()]
        told = {"at": piece, "pieces": cut, "bad": self.bad, "deaths": deaths}
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(told), encoding="utf-8")  # not synced: processes die here, and the system lives on
        os.replace(beside, self.path)
