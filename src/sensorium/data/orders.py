"""The orders in which an epoch goes through rows: each a pure function of the number of the batch."""

import zlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from sensorium.core.errors import UnknownName, nearest
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


class Endless:
    """Epoch after epoch without a seam: batch p holds places p·B to (p + 1)·B − 1, so every row comes once an epoch, and no row
    is left out where an epoch does not fill its last batch. With `shuffle` each epoch has its own order."""

    def __init__(self, n: int, batch_size: int, seed: int = 0, shuffle: bool = True):
        check_rows(n)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected at least 1")
        self._order = Shuffle(n, seed) if shuffle else None
        self._n, self._size = n, batch_size
        self.per_epoch = -(-n // batch_size)
        self.fingerprint = {"rows": n, "batch_size": batch_size, "seed": seed, "shuffle": shuffle}

    def rows(self, position: int) -> Rows:
        places = np.arange(position * self._size, (position + 1) * self._size, dtype=np.int64)
        if self._order is None:
            return places % self._n
        return np.array([self._order.at(int(place)) for place in places], np.int64)


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


class Apart:
    """All rows once an epoch, no two rows of one group in a batch: captions of one picture are no negatives of each other.

    The rows are laid out group by group, the groups in a new order each epoch, and dealt to the batches in turn; what does not
    fill the batches evenly (fewer rows than a batch has) is left out of this epoch. A group with more rows than an epoch has
    batches cannot be dealt: a `ValueError`.
    """

    def __init__(self, groups: Int[np.ndarray, " N"], batch_size: int, seed: int):
        check_size(batch_size, len(groups))
        names, self._group, counts = np.unique(groups, return_inverse=True, return_counts=True)
        self.per_epoch = len(groups) // batch_size
        if counts.max() > self.per_epoch:
            raise ValueError(
                f"batches of {batch_size} rows: the group {names[counts.argmax()]} has {counts.max()} rows, and an epoch only "
                f"{self.per_epoch} batches to put them into. Take smaller batches, or one row of each group (OnePerGroup)"
            )
        self._size, self._seed = batch_size, seed
        self._held: tuple[int, Rows | None] = (-1, None)
        self.fingerprint = {
            **{"rows": len(groups), "batch_size": batch_size, "seed": seed},
            "apart": zlib.crc32(self._group.astype(np.int64).tobytes()),
        }

    def rows(self, position: int) -> Rows:
        epoch, i = divmod(position, self.per_epoch)
        held, dealt = self._held
        if dealt is None or held != epoch:
            dealt = self._deal(epoch)
            self._held = (epoch, dealt)
        return dealt[i]

    def _deal(self, epoch: int) -> Int[np.ndarray, "batches B"]:
        random = np.random.default_rng([seed_of(self._seed), epoch])
        n, batches = len(self._group), self.per_epoch
        turn = random.permutation(self._group.max() + 1)[self._group]  # of each row, when its group's turn is
        rows = np.lexsort((random.random(n), turn))[: batches * self._size]
        return random.permutation(rows.reshape(self._size, batches).T)


class Curriculum:
    """The easy rows first: batch p is drawn from the easiest share c(p) of the rows, which grows to all of them.

    c(p) = (p/T·(1 − c₀^k) + c₀^k)^(1/k), with T = `over`, c₀ = `start` and k = 1 ("linear") or 2 ("root", Platanios et al. 2019,
    equation 7). `difficulty`: a number a row, the easy ones low (an alignment score with its sign turned). No row is twice in a
    batch; from batch T on the rows come in shuffled epochs.
    """

    def __init__(
        self,
        difficulty: Float[np.ndarray, " N"],
        batch_size: int,
        seed: int,
        over: int,
        start: float = 0.25,
        schedule: str = "root",
    ):
        check_size(batch_size, len(difficulty))
        if schedule not in POWERS:
            raise UnknownName(f"no schedule is called {schedule!r}.{nearest(schedule, POWERS)}")
        if not 0 < start <= 1 or over < 1:
            raise ValueError(f"start={start}, over={over}: expected a share above 0, and at least 1 batch")
        if not np.isfinite(difficulty).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(difficulty))} of the difficulties are NaN or infinite")
        self._ranked = np.argsort(difficulty, kind="stable")
        self._size, self._seed, self._over, self._start, self._power = batch_size, seed_of(seed), over, start, POWERS[schedule]
        self._rest = Shuffled(len(difficulty), batch_size, seed, drop_remainder=True)
        self.per_epoch = self._rest.per_epoch
        self.fingerprint = {
            **self._rest.fingerprint,
            **{"over": over, "start": start, "schedule": schedule, "ranks": zlib.crc32(self._ranked.astype(np.int64).tobytes())},
        }

    def share(self, position: int) -> float:
        """c(p)."""
        first, done = self._start**self._power, min(1.0, position / self._over)
        return (done * (1 - first) + first) ** (1 / self._power)

    def rows(self, position: int) -> Rows:
        if position >= self._over:
            return self._rest.rows(position - self._over)
        pool = self._ranked[: max(self._size, round(self.share(position) * len(self._ranked)))]
        return np.random.default_rng([self._seed, position]).choice(pool, self._size, replace=False)


POWERS = {"linear": 1, "root": 2}
