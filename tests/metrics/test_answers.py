"""Accuracy by type of question, by hand."""

import numpy as np
import pytest

from sensorium.metrics import Unmeasurable, by_type


def test_by_hand():
    right = np.array([True, True, False, True, False, False])
    found = by_type(right, ["size", "size", "size", "count", "count", "count"], {"size": 2, "count": 3, "motion": 8})
    assert found["questions"] == 6 and found["accuracy"] == 0.5
    assert found["size/accuracy"] == pytest.approx(2 / 3) and found["count/accuracy"] == pytest.approx(1 / 3)
    assert found["size/accuracy/chance"] == 0.5 and found["count/accuracy/chance"] == pytest.approx(1 / 3)
    assert found["accuracy/chance"] == pytest.approx((3 / 2 + 3 / 3) / 6), "of the types in the shares that they have"
    assert not [name for name in found if name.startswith("motion")], "nobody asked"
    assert 0 <= found["accuracy/low"] < 0.5 < found["accuracy/high"] <= 1


def test_the_interval_is_that_of_many_questions():
    right = np.arange(1000) % 4 > 0
    found = by_type(right, ["size"] * 1000, {"size": 2})
    half = 1.96 * np.sqrt(0.75 * 0.25 / 1000)
    assert found["accuracy/low"] == pytest.approx(0.75 - half, abs=0.005) and found["accuracy/high"] == pytest.approx(
        0.75 + half, abs=0.005
    )


def test_nothing_to_measure():
    with pytest.raises(Unmeasurable, match="0 answers to 0 questions"):
        by_type(np.zeros(0, bool), [], {"size": 2})
    with pytest.raises(Unmeasurable, match="2 answers to 1 questions"):
        by_type(np.zeros(2, bool), ["size"], {"size": 2})
    with pytest.raises(Unmeasurable, match="'colour'"):
        by_type(np.zeros(1, bool), ["colour"], {"size": 2})
