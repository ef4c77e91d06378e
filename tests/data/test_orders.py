"""Orders by hand and by their promises: Apart and Curriculum here; the others in tests/multi_modal/test_sampling.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.errors import UnknownName
from sensorium.data.orders import Apart, Curriculum, Endless


@given(st.lists(st.integers(0, 12), min_size=4, max_size=60), st.integers(1, 4), st.integers(0, 3))
def test_no_two_of_a_group_are_in_one_batch_and_none_comes_twice_an_epoch(groups, size, seed):
    labels = np.array(groups)
    batches = len(labels) // size
    if np.unique(labels, return_counts=True)[1].max() > batches:
        with pytest.raises(ValueError, match="Take smaller batches"):
            Apart(labels, size, seed)
        return
    order = Apart(labels, size, seed)
    assert order.per_epoch == batches
    for epoch in range(2):
        found = [order.rows(epoch * batches + i) for i in range(batches)]
        assert all(len(set(labels[rows])) == size for rows in found)
        together = np.concatenate(found)
        assert len(set(together)) == batches * size > len(labels) - size


def test_apart_draws_a_new_order_an_epoch_and_the_same_by_any_road():
    labels = np.repeat(np.arange(20), 3)
    order, other = Apart(labels, 6, 1), Apart(labels, 6, 1)
    assert [other.rows(i).tolist() for i in reversed(range(20))][::-1] == [order.rows(i).tolist() for i in range(20)]
    assert {tuple(sorted(order.rows(i))) for i in range(10)} != {tuple(sorted(order.rows(i))) for i in range(10, 20)}
    assert not np.array_equal(order.rows(0), Apart(labels, 6, 2).rows(0))
    assert order.fingerprint != Apart(np.roll(labels, 1), 6, 1).fingerprint
    met = {tuple(sorted(labels[order.rows(i)])) for i in range(200)}
    assert len(met) == 200, "groups meet others every time"


def test_every_row_is_left_out_as_often_as_any_other():
    labels = np.arange(11) // 2
    order = Apart(labels, 3, 0)
    seen = np.bincount(np.concatenate([order.rows(i) for i in range(3 * 1000)]), minlength=11)
    assert seen.sum() == 9000 and abs(seen / 1000 - 9 / 11).max() < 0.05


def test_the_share_of_a_curriculum_by_hand():
    root = Curriculum(np.arange(100.0), 4, 0, over=10, start=0.2)
    assert [root.share(p) for p in (0, 5, 10, 99)] == pytest.approx([0.2, math.sqrt(0.5 * 0.96 + 0.04), 1, 1])
    linear = Curriculum(np.arange(100.0), 4, 0, over=10, start=0.2, schedule="linear")
    assert [linear.share(p) for p in (0, 5, 10)] == pytest.approx([0.2, 0.6, 1])


def test_a_curriculum_begins_with_the_easy_rows_and_ends_with_all():
    difficulty = np.random.default_rng(0).permutation(200).astype(float)
    order = Curriculum(difficulty, 10, 3, over=50, start=0.1)
    for position in range(50):
        rows = order.rows(position)
        assert len(set(rows.tolist())) == 10
        assert difficulty[rows].max() < max(10, round(order.share(position) * 200))
    hardest = [difficulty[order.rows(p)].max() for p in range(50)]
    assert max(hardest[:5]) < 100 and max(hardest[40:]) > 170
    later = np.concatenate([order.rows(50 + i) for i in range(order.per_epoch)])
    assert sorted(later.tolist()) == list(range(200)), "then whole epochs"
    again = Curriculum(difficulty, 10, 3, over=50, start=0.1)
    assert np.array_equal(again.rows(17), order.rows(17)) and not np.array_equal(order.rows(17), order.rows(16))
    assert again.fingerprint == order.fingerprint != Curriculum(-difficulty, 10, 3, over=50, start=0.1).fingerprint


def test_what_makes_no_order_is_an_error():
    with pytest.raises(UnknownName, match="no schedule is called 'cosine'"):
        Curriculum(np.zeros(9), 2, 0, over=5, schedule="cosine")
    with pytest.raises(ValueError, match="1 of the difficulties are NaN"):
        Curriculum(np.array([0.0, np.nan, 1.0]), 2, 0, over=5)
    with pytest.raises(ValueError, match=r"start=0\.0"):
        Curriculum(np.zeros(9), 2, 0, over=5, start=0.0)
    with pytest.raises(ValueError, match="batch_size=0"):
        Endless(5, 0)
