"""The optimum of multinomial logistic regression, and the penalty that is chosen."""

import numpy as np
import pytest
from scipy.special import softmax

from sensorium.optim.logistic import best_penalty, logistic


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """Features of very unlike spreads, one of them constant, and labels that depend on some of them with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)) * [1, 30, 0.01, 1, 0] + [0, 100, 0, 5, 2]
    scores = np.stack([x[:, 0], (x[:, 1] - 100) / 30, 100 * x[:, 2]], 1) + rng.gumbel(size=(120, 3))
    return x.astype(np.float32), scores.argmax(axis=1)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 100.0])
def test_the_gradient_is_zero_at_what_is_found(data, penalty):
    """By hand: Σ (p − y) xᵀ + penalty · kernel, and Σ (p − y) of the biases."""
    x, y = data
    found = logistic(x, y, 3, penalty)
    slope = softmax(found.logits(x), axis=1) - np.eye(3)[y]
    gradient = x.astype(np.float64).T @ slope + penalty * found.kernel
    size = np.abs(x).astype(np.float64).T @ np.abs(slope) + penalty * np.abs(found.kernel)
    assert np.abs(slope.sum(axis=0)).max() < 1e-4
    assert (np.abs(gradient) < 1e-5 * size + 1e-7).all()


def test_from_a_solution_nearby_it_comes_to_the_same(data):
    x, y = data
    plain, near = logistic(x, y, 3, 1.0), logistic(x, y, 3, 1.0, logistic(x, y, 3, 10.0))
    np.testing.assert_allclose(near.kernel, plain.kernel, rtol=1e-3, atol=1e-5)


def test_the_penalty_is_the_one_that_others_ask_for():
    """Many weak features and few rows: without a penalty their noise is learned as well."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 40)).astype(np.float32)
    y = (x @ rng.normal(size=40) + 6 * rng.normal(size=1000) > 0).astype(np.int64)
    penalty, found = best_penalty(x[:100], y[:100], 2, x[100:500], y[100:500])
    right = {
        power: np.mean(logistic(x[:100], y[:100], 2, power).logits(x[500:]).argmax(1) == y[500:]) for power in (1e-6, penalty)
    }
    assert penalty > 1 and right[penalty] > right[1e-6] + 0.02
    np.testing.assert_allclose(found.kernel, logistic(x[:100], y[:100], 2, penalty).kernel, atol=1e-4)
