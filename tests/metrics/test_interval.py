"""Bootstrap intervals against theory, and their limits."""

import numpy as np
import pytest

from sensorium.metrics import bootstrap


def test_the_interval_of_a_share_is_that_of_the_binomial():
    values = np.arange(1000) < 300
    low, high = bootstrap(values, n=4000)
    width = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - width, abs=0.003)
    assert high == pytest.approx(0.3 + width, abs=0.003)


def test_it_covers_the_truth_in_about_95_of_100_samples():
    rng = np.random.default_rng(0)
    intervals = [bootstrap(rng.normal(size=200), n=500, seed=i) for i in range(300)]
    assert 0.91 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.98


def test_it_depends_on_the_seed_and_on_nothing_else():
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_a_statistic_of_ones_own_and_another_level():
    ranks = np.array([1, 1, 1, 2, 90])
    assert bootstrap(ranks, np.median, level=0.0)[0] == 1
    wide, narrow = bootstrap(ranks, level=0.99), bootstrap(ranks, level=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_equal_rows_have_an_interval_of_no_width_and_no_rows_have_none():
    assert bootstrap(np.ones(7)) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least one row"):
        bootstrap(np.zeros(0))


def test_many_rows_are_resampled_in_pieces_that_agree_in_distribution():
    values = np.random.default_rng(2).normal(size=30_000)  # 34 resamples fit into a piece
    low, high = bootstrap(values, n=200)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(30_000), rel=0.3)
