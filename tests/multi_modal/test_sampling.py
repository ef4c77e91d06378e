"""Epochs: everything once, never the same order twice, and a position that can be saved."""

import json
from collections import Counter
from itertools import chain

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.orders import OnePerGroup, Shuffled, Stratified
from sensorium.data.shuffle import SMALL
from sensorium.multi_modal.sampling import Epochs, Sampler, epochs


def walk(order, start=0, repeat: int | None = 1) -> Epochs:
    return Epochs(lambda rows, epoch: {"rows": rows, "epoch": epoch}, order, start, repeat)


def numbers(batches) -> list[list[int]]:
    return [batch["rows"].tolist() for batch in batches]


@given(n=st.integers(1, 12), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=12), seed=st.integers(0, 2**40))
def test_the_walk_gives_every_row_equally_often_and_none_twice_in_a_batch(n, sizes, seed):
    sampler, again = Sampler(n, seed), Sampler(n, seed)
    seen = Counter()
    for size in sizes:
        rows = sampler.next(min(size, n)).tolist()
        assert len(set(rows)) == min(size, n) and rows == again.next(min(size, n)).tolist()
        seen.update(rows)
        counts = [seen[row] for row in range(n)]
        assert max(counts) - min(counts) <= 2, "an epoch may be over but for the rows that wait"
    total = sum(seen.values())
    for _ in range(n - total % n if total % n else 0):  # to the end of an epoch
        seen.update(sampler.next(1).tolist())
    assert set(seen.values()) == {sum(seen.values()) // n}


def test_the_walk_changes_its_order_and_does_not_move_when_rows_are_drawn_by_a_key():
    sampler, untouched = Sampler(20, 0), Sampler(20, 0)
    first, second = sampler.next(20).tolist(), sampler.next(20).tolist()
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    assert sampler.epoch == 2 and Sampler(20, 1).next(20).tolist() != first
    drawn = [untouched.draw(5, jax.random.key(i)).tolist() for i in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2] and all(len(set(rows)) == 5 for rows in drawn)
    assert untouched.next(20).tolist() == first
    for bad in (0, 21):
        with pytest.raises(ValueError, match=rf"batch_size={bad} of a data set of 20 rows"):
            sampler.next(bad)
    with pytest.raises(ValueError, match="0 rows"):
        Sampler(0, 0)


def test_ten_million_rows_cost_nothing():
    assert len(set(Sampler(10**7, 0).next(256).tolist())) == 256
    large = Sampler(SMALL + 1, 0)
    rows = [large.next(SMALL + 1).tolist() for _ in range(2)]
    assert sorted(rows[0]) == sorted(rows[1]) == list(range(SMALL + 1)) and rows[0] != rows[1]
    batches = epochs(lambda rows: {"rows": rows}, 10**7, 64)
    assert max(next(batches)["rows"]) > 10**5 and batches.per_epoch == 156_250


def test_an_epoch_holds_every_row_once():
    whole = numbers(walk(Shuffled(23, 5, seed=3, drop_remainder=False)))
    assert [len(rows) for rows in whole] == [5, 5, 5, 5, 3] and sorted(chain(*whole)) == list(range(23))
    cut = numbers(walk(Shuffled(23, 5, seed=3, drop_remainder=True), repeat=2))
    assert len(cut) == 8 and cut[:4] == whole[:4] and cut[4:] != cut[:4]
    assert numbers(walk(Shuffled(23, 5, seed=4, drop_remainder=True))) != cut[:4]
    assert [len(rows) for rows in numbers(walk(Shuffled(3, 5, seed=0, drop_remainder=False)))] == [3]
    with pytest.raises(ValueError, match=r"batch_size=5 of a data set of 3 rows.*drop_remainder=False"):
        Shuffled(3, 5, seed=0, drop_remainder=True)


LABELS = np.array([7, 7, 1, 1, 1, 7, 1, 9, 9, 1])
GROUPS = np.array([4, 4, 4, 0, 0, 2, 9, 9, 9, 9])


@pytest.mark.parametrize(
    "order",
    [
        Shuffled(10, 3, 5, False),
        Stratified(LABELS, 2, 5, False),
        OnePerGroup(GROUPS, 2, 5, True),
    ],
    ids=["shuffled", "stratified", "one per group"],
)
def test_a_walk_goes_on_where_it_was_in_another_process_too(order):
    every = walk(order, repeat=None)
    expected = [next(every) for _ in range(3 * order.per_epoch)]
    for stop in range(len(expected)):
        first = walk(order, repeat=None)
        for _ in range(stop):
            next(first)
        state = json.loads(json.dumps(first.get_state()))
        second = walk(order, repeat=None)
        second.set_state(state)
        assert second.position == stop == state["position"]
        got = [next(second) for _ in expected[stop:]]
        assert numbers(got) == numbers(expected[stop:])
        assert [batch["epoch"] for batch in got] == [i // order.per_epoch for i in range(stop, len(expected))]
    assert numbers(walk(order, start=2)) == numbers(expected[2 : order.per_epoch])


def test_the_state_of_another_walk_is_refused():
    state = walk(Shuffled(10, 3, 5, True)).get_state()
    for other, told in (
        (Shuffled(11, 3, 5, True), "rows=10 and not 11"),
        (Shuffled(10, 2, 5, True), "batch_size=3 and not 2"),
        (Shuffled(10, 3, 6, True), "seed=5 and not 6"),
        (Shuffled(10, 3, 5, False), "drop_remainder=True and not False"),
        (Stratified(LABELS, 3, 5, False), "strata=None and not"),
    ):
        with pytest.raises(ValueError, match=told):
            walk(other).set_state(state)
    one, two = Stratified(LABELS, 2, 5, False), Stratified(LABELS[::-1], 2, 5, False)
    with pytest.raises(ValueError, match="strata="):
        walk(two).set_state(walk(one).get_state())
    for position in (-1, 4):
        with pytest.raises(ValueError, match=rf"position {position}: expected 0 to 3"):
            walk(Shuffled(10, 3, 5, True)).set_state(state | {"position": position})
    with pytest.raises(ValueError, match="repeat=0"):
        walk(Shuffled(10, 3, 5, True), repeat=0)


def test_a_batch_that_cannot_be_read_is_not_counted_as_read():
    def read(rows, epoch):
        raise OSError("the disk is gone")

    batches = Epochs(read, Shuffled(4, 2, 0, True))
    for _ in range(2):
        with pytest.raises(OSError):
            next(batches)
    assert batches.position == 0


def test_a_stratified_batch_has_one_label_and_an_epoch_still_everything():
    order = Stratified(LABELS, 2, seed=1, drop_remainder=False)
    epochs_ = [numbers(walk(order, start=e * order.per_epoch, repeat=e + 1)) for e in range(4)]
    for batches in epochs_:
        assert all(len(set(LABELS[rows].tolist())) == 1 for rows in batches)
        assert sorted(chain(*batches)) == list(range(10))
    assert len({frozenset(frozenset(rows) for rows in batches) for batches in epochs_}) == 4, "other rows meet in each epoch"
    turns = ["".join(str(LABELS[rows[0]]) for rows in batches) for batches in epochs_]
    assert len(set(turns)) > 1, "labels come in an order of chance, not one after another"
    with pytest.raises(ValueError, match="the smallest of 3 strata has 2"):
        Stratified(LABELS, 3, seed=1, drop_remainder=True)


def test_one_row_of_each_group_and_another_one_in_another_epoch():
    order = OnePerGroup(GROUPS, 2, seed=1, drop_remainder=True)
    seen = set()
    for epoch in range(30):
        rows = list(chain(*numbers(walk(order, start=epoch * order.per_epoch, repeat=epoch + 1))))
        assert sorted(GROUPS[rows].tolist()) == [0, 2, 4, 9]
        seen |= set(rows)
    assert seen == set(range(10))
