"""FID and KID of Gaussians whose distance is known, against the formulas written out, and what does not change them."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.metrics import Unmeasurable
from sensorium.metrics.images import fid, kid, mmd


def draws(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_fid_by_hand():
    """Of ±1 in one dimension: variance 4/3 of four points. |5 − 0|² + (√(4/3) − √(4/3 · 9))²."""
    x = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    assert fid(x, x) == pytest.approx(0, abs=1e-12)
    assert fid(3 * x + 5, x) == pytest.approx(25 + 4 / 3 * (3 - 1) ** 2)
    assert fid(np.concatenate([x, 0 * x], 1), np.concatenate([0 * x, 2 * x], 1)) == pytest.approx(4 / 3 + 16 / 3), "no overlap"


def test_fid_of_gaussians_is_the_distance_of_gaussians():
    a, b = draws(0, 40_000, 3) * [1, 2, 3] + [1, 0, 0], draws(1, 40_000, 3) * [2, 2, 1]
    assert fid(a, b) == pytest.approx(1 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=0.02)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 40, 6), (12, 9, 30)])
def test_fid_is_the_formula_written_out(n, m, d):
    """With scipy's matrix root; of fewer rows than dimensions the covariances are singular, and the root is off by some 1e-4."""
    a, b = draws(2, n, d), draws(3, m, d) @ draws(4, d, d) * 0.3 + 0.2
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values = np.linalg.eigvals(first @ second)
    root = np.sqrt(np.maximum(values.real, 0)).sum()
    written = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * root
    assert fid(a, b) == pytest.approx(written, rel=1e-6)
    if n > d:
        assert root == pytest.approx(np.trace(scipy.linalg.sqrtm(first @ second)).real)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 6))
def test_fid_is_a_distance_that_no_turn_changes(seed, n, d):
    a, b = draws(seed, n, d), 2 * draws(seed + 1, n + 3, d) + 1
    turn = np.linalg.qr(draws(seed + 2, d, d)).Q
    assert fid(a, b) == pytest.approx(fid(b, a), abs=1e-9) and fid(a, b) >= 0
    assert fid(a @ turn + 7, b @ turn + 7) == pytest.approx(fid(a, b), abs=1e-8)
    assert fid(3 * a, 3 * b) == pytest.approx(9 * fid(a, b), abs=1e-8)
    assert fid(a, a[::-1]) == pytest.approx(0, abs=1e-9)
    assert mmd(a, b) == pytest.approx(mmd(b, a)) and mmd(a @ turn, b @ turn) == pytest.approx(mmd(a, b))


def test_mmd_by_hand_and_pair_by_pair():
    a, b = np.array([[1.0], [0.0]]), np.array([[1.0], [1.0]])
    assert mmd(a, b) == pytest.approx((0 + 1) ** 3 + (1 + 1) ** 3 - 2 * (8 + 8 + 1 + 1) / 4)
    a, b = draws(5, 7, 3), draws(6, 5, 3)

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    within = [np.mean([k(x, y) for i, x in enumerate(z) for j, y in enumerate(z) if i != j]) for z in (a, b)]
    assert mmd(a, b) == pytest.approx(sum(within) - 2 * np.mean([k(x, y) for x in a for y in b]))


def test_mmd_of_equal_distributions_is_0_in_the_mean_and_not_of_others():
    same = [mmd(draws(2 * i, 40, 4), draws(2 * i + 1, 40, 4)) for i in range(100)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(100) and min(same) < 0
    found = kid(draws(0, 200, 4) + 1, draws(1, 300, 4), subsets=20, size=100)
    assert 0 < found["kid/low"] < found["kid"] < found["kid/high"]
    assert found == kid(draws(0, 200, 4) + 1, draws(1, 300, 4), subsets=20, size=100)
    assert kid(draws(0, 2000, 4), 10 + draws(1, 2000, 4), subsets=3, size=1500)["kid"] > 1000


def test_whole_sets_in_one_subset_are_mmd():
    a, b = draws(7, 30, 5), draws(8, 30, 5)
    assert kid(a, b, subsets=1, size=30)["kid"] == pytest.approx(mmd(a, b))


def test_what_cannot_be_measured_is_told():
    x = draws(0, 10, 2)
    with pytest.raises(Unmeasurable, match="1 real rows"):
        fid(x, x[:1])
    with pytest.raises(Unmeasurable, match="generated row 3 hold NaN"):
        fid(np.where(np.arange(10)[:, None] == 3, np.nan, x), x)
    with pytest.raises(ValueError, match="of 2 to 10 rows"):
        kid(x, x)
