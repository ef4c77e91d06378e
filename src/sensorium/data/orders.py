"""The orders in which an epoch goes through rows: all of them, one label a batch, or one row of each group."""

import zlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from sensorium.data.shuffle import Rows, Shuffle, check_rows, check_size, seed_of


@runtime_checkable
class Order(Protocol):
    """Epochs cut into batches: `per_epoch` of them in each."""

    @property
    def per_epoch(self) -> int: ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What makes it this order and no other, as JSON has it."""
        ...

    def rows(self, position: int) -> Rows:
        """The rows of batch `position`, counted from the first of epoch 0 on."""
        ...


class Shuffled:
    """All rows once an epoch. The last batch of an epoch is left out where it is not full, unless `drop_remainder` is False."""

    def __init__(self, n: int, batch_size: int, seed: int, drop_remainder: bool):
        if drop_remainder or batch_size < 1:
            check_size(batch_size, n, hint="; or pass drop_remainder=False")
        self._order = Shuffle(n, seed)
        self._size = batch_size
        self.per_epoch = n // batch_size if drop_remainder else -(-n // batch_size)
        self.fingerprint = {"rows": n, "batch_size": batch_size, "seed": seed, "drop_remainder": drop_remainder}

    def rows(self, position: int) -> Rows:
        epoch, i = divmod(position, self.per_epoch)
        n = self._order.n
        places = range(epoch * n + i * self._size, epoch * n + min(n, (i + 1) * self._size))
        return np.array([self._order.at(place) for place in places], np.int64)


class Stratified:
    """All rows once an epoch, those of one batch with one label; batches of different labels come in turn, by chance.

    A label with fewer rows than a batch has would never be seen where `drop_remainder`: that is a `ValueError`.
    """

    def __init__(self, labels: Int[np.ndarray, " N"], batch_size: int, seed: int, drop_remainder: bool):
        check_rows(len(labels))
        check_size(batch_size, len(labels))
        names, counts = np.unique(labels, return_counts=True)
        if drop_remainder and counts.min() < batch_size:
            raise ValueError(
                f"batches of {batch_size} rows: the smallest of {len(names)} strata has {counts.min()}, and would never be seen. "
                "Take smaller batches, or pass drop_remainder=False"
            )
        self._strata = [np.flatnonzero(labels == name) for name in names]
        self._inner = [Shuffled(int(n), batch_size, seed_of(seed, i), drop_remainder) for i, n in enumerate(counts)]
        self._ends = np.cumsum([inner.per_epoch for inner in self._inner])
        self.per_epoch = int(self._ends[-1])
        self._turns = Shuffle(self.per_epoch, seed_of(seed, len(names)))
        self.fingerprint = {
            **{"rows": len(labels), "batch_size": batch_size, "seed": seed, "drop_remainder": drop_remainder},
            "strata": zlib.crc32(labels.astype(np.int64).tobytes()),
        }

    def rows(self, position: int) -> Rows:
        turn = self._turns.at(position)
        which = int(np.searchsorted(self._ends, turn, side="right"))
        inner = self._inner[which]
        within = turn - int(self._ends[which]) + inner.per_epoch
        return self._strata[which][inner.rows(position // self.per_epoch * inner.per_epoch + within)]


class OnePerGroup:
    """Every group once an epoch, by one of its rows, which is drawn anew in each: no two rows of a batch are of one group."""

    def __init__(self, groups: Int[np.ndarray, " N"], batch_size: int, seed: int, drop_remainder: bool):
        check_rows(len(groups))
        starts = np.unique(np.sort(groups, kind="stable"), return_index=True)[1]
        self._members = np.split(np.argsort(groups, kind="stable"), starts[1:])
        self._inner = Shuffled(len(self._members), batch_size, seed, drop_remainder)
        self._seed = seed
        self.per_epoch = self._inner.per_epoch
        self.fingerprint = {**self._inner.fingerprint, "groups": zlib.crc32(groups.astype(np.int64).tobytes())}

    def rows(self, position: int) -> Rows:
        epoch, groups = position // self.per_epoch, self._inner.rows(position)
        return np.array([self._members[g][seed_of(self._seed, epoch, int(g)) % len(self._members[g])] for g in groups], np.int64)
