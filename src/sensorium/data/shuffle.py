"""A row for every place of endless epochs, each in its own order, without a list of them where they are many."""

from typing import Any

import numpy as np
from jaxtyping import Int

Rows = Int[np.ndarray, " B"]
SMALL = 2**13
"""Up to as many rows an epoch's order is held as a list. Grain's needs no memory, but takes 65,536 / n steps for a row."""


class Shuffle:
    """The row at any place of endless epochs of `n` rows, each in its own order, which depends on (seed, epoch) only."""

    def __init__(self, n: int, seed: int):
        check_rows(n)
        self.n, self._seed = n, seed_of(seed)
        self._large = _shuffled(n, self._seed) if n > SMALL else None
        self._held: tuple[int, Rows | None] = (-1, None)

    def at(self, place: int) -> int:
        epoch, i = divmod(place, self.n)
        if self._large is not None:
            return int(self._large[place])  # type: ignore[arg-type]
        held, order = self._held
        if order is None or held != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(self.n)
            self._held = (epoch, order)
        return int(order[i])


def _shuffled(n: int, seed: int) -> Any:
    import grain  # with JAX and Orbax: whoever only lists files does without

    return grain.MapDataset.range(n).shuffle(seed)


def seed_of(*numbers: int) -> int:
    """32 bits that look random and depend on some numbers only."""
    return int(np.random.SeedSequence([number % 2**32 for number in numbers]).generate_state(1)[0])


def check_rows(n: int) -> None:
    """A `ValueError` where there are none."""
    if n < 1:
        raise ValueError(f"{n} rows: there is nothing to draw from")


def check_size(batch_size: int, n: int, hint: str = "") -> None:
    """A `ValueError` where a batch would be empty, or hold a row twice."""
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size={batch_size} of a data set of {n} rows: expected 1 to {n}{hint}")
