"""Rates by hand."""

import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.optim.schedules import SCHEDULES, rates


def of_run(name: str, lr: float = 0.8, steps: int = 20, warmup: int = 4) -> np.ndarray:
    return np.array([float(rates(lr, steps, warmup, name)(count)) for count in range(steps)])


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_rises_in_equal_parts_from_the_first_update_on_and_never_above_its_highest(name):
    found = of_run(name)
    np.testing.assert_allclose(found[:4], [0.2, 0.4, 0.6, 0.8], rtol=1e-6)
    assert (found > 0).all() and found.max() == pytest.approx(0.8)
    assert (np.diff(found[3:]) <= 0).all()


def test_the_ways_down_by_hand():
    assert of_run("cosine")[[11, 19]] == pytest.approx([(0.8 + 0.008) / 2, 0.008], rel=1e-5), "half way, and a hundredth"
    assert of_run("linear")[[7, 11, 19]] == pytest.approx([0.8 - 0.25 * 0.792, 0.404, 0.008], rel=1e-5)
    assert of_run("constant")[[4, 19]] == pytest.approx([0.8, 0.8])
    assert of_run("rsqrt")[[3, 15]] == pytest.approx([0.8, 0.4], rel=1e-5), "half at four times the warm-up"


def test_a_run_without_a_warm_up_and_one_that_goes_on_past_its_end():
    assert float(rates(1.0, 3, 0)(0)) == 1.0
    assert float(rates(1.0, 1)(0)) == 1.0
    assert float(rates(1.0, 10, 2)(500)) == pytest.approx(0.01)


def test_what_makes_no_schedule_is_told():
    with pytest.raises(UnknownName, match="'cosine'"):
        rates(1.0, 10, schedule="cosin")
    for wrong in ({"lr": float("nan"), "steps": 10}, {"lr": 1.0, "steps": 0}, {"lr": 1.0, "steps": 10, "warmup": -1}):
        with pytest.raises(ValueError, match="expected a rate of 0 or more"):
            rates(**wrong)
