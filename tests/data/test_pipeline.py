"""The stream of batches: the same again, from any step, and every item once an epoch."""

from itertools import islice

import numpy as np
import pytest

from sensorium.core.batch import Batch
from sensorium.data.pipeline import batches


class Numbers:
    """A source that tells which rows were read, and with which draw."""

    def __init__(self, items: int):
        self.items = items

    def __len__(self) -> int:
        return self.items

    def read(self, rows, draw: int = 0) -> Batch:
        return {"group": np.asarray(rows), "draw": np.full(len(rows), draw)}


def rows(stream) -> list[list[int]]:
    return [batch["group"].tolist() for batch in stream]


def test_equal_seeds_give_equal_batches_and_others_do_not():
    first = rows(batches(Numbers(20), 4, 12, seed=3))
    assert first == rows(batches(Numbers(20), 4, 12, seed=3)) and len(first) == 12
    assert first != rows(batches(Numbers(20), 4, 12, seed=4))
    assert all(len(batch) == 4 for batch in first)


@pytest.mark.parametrize("start", [0, 1, 5, 7, 12])
def test_it_goes_on_from_any_step(start):
    """Steps 5 and 10 begin an epoch; the draws go on too, so the same captions are read."""
    whole = [(b["group"].tolist(), b["draw"].tolist()) for b in batches(Numbers(20), 4, 12, seed=3)]
    rest = [(b["group"].tolist(), b["draw"].tolist()) for b in batches(Numbers(20), 4, 12, seed=3, start=start)]
    assert rest == whole[start:]


def test_fewer_steps_are_the_first_of_more():
    assert rows(batches(Numbers(20), 4, 6)) == rows(islice(batches(Numbers(20), 4, 12), 6))


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_visits_each_item_once(shuffle):
    stream = rows(batches(Numbers(20), 4, 15, shuffle=shuffle))
    epochs = [[row for batch in stream[i : i + 5] for row in batch] for i in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert (len({tuple(epoch) for epoch in epochs}) == 3) == shuffle, "each epoch has its own order"


def test_without_shuffling_rows_keep_their_order_over_the_end_of_an_epoch():
    assert rows(batches(Numbers(5), 2, 5, shuffle=False)) == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]


def test_a_batch_may_be_larger_than_the_source():
    assert rows(batches(Numbers(3), 8, 1, shuffle=False)) == [[0, 1, 2, 0, 1, 2, 0, 1]]


def test_each_batch_has_its_own_draw():
    assert [set(batch["draw"].tolist()) for batch in batches(Numbers(20), 4, 6)] == [{i} for i in range(6)]


def test_a_source_without_items_and_one_that_fails_are_errors():
    with pytest.raises(ValueError, match="without items"):
        batches(Numbers(0), 4, 1)

    class Failing(Numbers):
        def read(self, rows, draw: int = 0) -> Batch:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        next(batches(Failing(8), 4, 2))
