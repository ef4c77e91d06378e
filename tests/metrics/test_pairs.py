"""Accuracy on pairs by hand, and that ties are wrong."""

import numpy as np
import pytest

from sensorium.metrics import Unmeasurable, pair_accuracy, pairs_right

EAST, NORTH = np.eye(2, dtype=np.float32)


def test_by_hand():
    anchor = np.stack([EAST, EAST, NORTH, NORTH])
    true = np.stack([EAST, NORTH, NORTH, (EAST + 2 * NORTH) / np.sqrt(5)]).astype(np.float32)
    false = np.stack([NORTH, EAST, EAST, (2 * EAST + NORTH) / np.sqrt(5)]).astype(np.float32)
    assert pairs_right(anchor, true, false).tolist() == [True, False, True, True]
    assert pair_accuracy(anchor, true, false) == 0.75


def test_a_model_that_cannot_tell_the_two_apart_gets_nothing():
    rng = np.random.default_rng(0)
    anchor, same = rng.normal(size=(2, 100, 16)).astype(np.float32)
    assert pair_accuracy(anchor, same, same.copy()) == 0


def test_guessing_gets_one_half():
    anchor, true, false = np.random.default_rng(1).normal(size=(3, 4000, 8)).astype(np.float32)
    assert pair_accuracy(anchor, true, false) == pytest.approx(0.5, abs=0.03)
    assert pair_accuracy(anchor, true, false) + pair_accuracy(anchor, false, true) == pytest.approx(1)


def test_nan_and_nothing_are_errors_that_say_so():
    bad = np.stack([EAST, np.nan * EAST])
    with pytest.raises(Unmeasurable, match=r"pair 1 .* NaN"):
        pair_accuracy(bad, bad, bad)
    with pytest.raises(Unmeasurable, match="at least one pair"):
        pair_accuracy(*np.zeros((3, 0, 4), np.float32))
