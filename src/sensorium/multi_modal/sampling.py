"""Which rows come next: shuffled epochs, without end or with a position that can be saved. Ten million rows cost no memory."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sensorium.data.orders import Order, Shuffled
from sensorium.data.shuffle import Rows, Shuffle, check_size


class Sampler:
    """An endless walk through `n` rows, epoch after epoch, each in its own order, which depends on (seed, epoch) only."""

    def __init__(self, n: int, seed: int):
        self.n = n
        self._order = Shuffle(n, seed)
        self._position = 0
        self._waiting: deque[int] = deque()

    @property
    def epoch(self) -> int:
        """The number of the epoch that the next row is of."""
        return (self._position - len(self._waiting)) // self.n

    def next(self, batch_size: int) -> Rows:
        """The next rows. None is twice in a batch, also where it begins in one epoch and ends in the next."""
        check_size(batch_size, self.n)
        rows = dict.fromkeys(self._waiting.popleft() for _ in range(min(batch_size, len(self._waiting))))
        while len(rows) < batch_size:
            row = self._order.at(self._position)
            self._position += 1
            if row in rows:  # it ended the last epoch in this batch: in the new epoch it opens the next batch
                self._waiting.append(row)
            rows[row] = None
        return np.fromiter(rows, np.int64, batch_size)

    def draw(self, batch_size: int, key: jax.Array) -> Rows:
        """Rows drawn by a key, none twice; the walk does not move."""
        check_size(batch_size, self.n)
        order = Shuffle(self.n, int(jax.random.bits(key, (), jnp.uint32)))
        return np.array([order.at(i) for i in range(batch_size)], np.int64)


class Epochs:
    """Batches of some epochs, one after another; `position` counts them from the first of epoch 0 on.

    `get_state` gives what `set_state` goes on from, in this process or another one: a dict that JSON can hold.
    """

    def __init__(self, read: Callable[[Rows, int], dict[str, Any]], order: Order, start: int = 0, repeat: int | None = 1):
        if repeat is not None and repeat < 1:
            raise ValueError(f"repeat={repeat}: expected a number of epochs, or None for no end")
        self._read, self._order, self._repeat = read, order, repeat
        self._go_to(start)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if self._end is not None and self.position >= self._end:
            raise StopIteration
        batch = self._read(self._order.rows(self.position), self.epoch)
        self.position += 1  # only now: where reading fails, the batch is not counted as read
        return batch

    @property
    def epoch(self) -> int:
        """The number of the epoch that the next batch is of."""
        return self.position // self._order.per_epoch

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return self._order.per_epoch

    def get_state(self) -> dict[str, Any]:
        return {"position": self.position, **self._order.fingerprint}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken; a `ValueError` where that was of other rows, or in another order."""
        own = self._order.fingerprint
        if other := sorted(key for key in own.keys() | state.keys() - {"position"} if own.get(key) != state.get(key)):
            told = ", ".join(f"{key}={state.get(key)!r} and not {own.get(key)!r}" for key in other)
            raise ValueError(f"the state is of other epochs: {told}. Make the epochs as they were when it was saved")
        self._go_to(state.get("position", -1))

    @property
    def _end(self) -> int | None:
        return None if self._repeat is None else self._repeat * self._order.per_epoch

    def _go_to(self, position: int) -> None:
        if position < 0 or (self._end is not None and position > self._end):
            raise ValueError(f"position {position}: expected 0 to {self._end} batches, {self.per_epoch} an epoch")
        self.position = position


def epochs(
    read: Callable[[Rows], dict[str, Any]],
    n: int,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    drop_remainder: bool = True,
    repeat: int | None = 1,
) -> Epochs:
    """Shuffled epochs of `n` rows as `read` gives them; `repeat` of them, or without end where it is None."""
    return Epochs(lambda rows, epoch: read(rows), Shuffled(n, batch_size, seed, drop_remainder), start, repeat)
