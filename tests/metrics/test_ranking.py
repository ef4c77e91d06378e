"""Average precision and nDCG on a matrix that one can check by eye, and against naive definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.metrics import Unmeasurable, average_precision, ndcg, ranks, reciprocal

SCORES = np.array(
    [
        [0.9, 0.1, 0.3, 0.2],  # right: 0 and 3, at places 1 and 3
        [0.5, 0.4, 0.8, 0.1],  # right: 1, at place 3
        [0.7, 0.7, 0.7, 0.7],  # right: 2, all tie: place 4
        [0.1, 0.6, 0.5, 0.6],  # right: 0 and 3; 3 ties with 1: places 2 and 4
    ]
)
RIGHT = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]], bool)


def test_by_eye():
    np.testing.assert_allclose(average_precision(SCORES, RIGHT), [(1 / 1 + 2 / 3) / 2, 1 / 3, 1 / 4, (1 / 2 + 2 / 4) / 2])
    first, second, third, fourth = 1, 1 / math.log2(3), 1 / 2, 1 / math.log2(5)
    np.testing.assert_allclose(
        ndcg(SCORES, RIGHT, 4), [(first + third) / (first + second), third, fourth, (second + fourth) / (first + second)]
    )
    np.testing.assert_allclose(ndcg(SCORES, RIGHT, 2), [1 / (1 + second), 0, 0, second / (1 + second)])
    np.testing.assert_allclose(ndcg(SCORES, RIGHT, 1), [1, 0, 0, 0])
    assert reciprocal(ranks(SCORES, RIGHT)).tolist() == [1, 1 / 3, 1 / 4, 1 / 2]


@st.composite
def problems(draw):
    q, k = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    scores = np.array(draw(st.lists(st.integers(-2, 2), min_size=q * k, max_size=q * k)), float).reshape(q, k)
    right = np.array(draw(st.lists(st.booleans(), min_size=q * k, max_size=q * k))).reshape(q, k)
    right[np.arange(q), draw(st.lists(st.integers(0, k - 1), min_size=q, max_size=q))] = True
    return scores, right, draw(st.permutations(range(k)))


@given(problems(), st.integers(1, 8))
def test_they_are_those_of_a_pessimistic_sort_and_do_not_depend_on_the_order_of_the_gallery(problem, k):
    scores, right, order = problem
    for row, (line, good) in enumerate(zip(scores, right, strict=True)):
        ordered = [is_right for _, is_right in sorted(zip(-line, good, strict=True))]
        precision = [sum(ordered[: at + 1]) / (at + 1) for at, is_right in enumerate(ordered) if is_right]
        gain = sum(1 / math.log2(at + 2) for at, is_right in enumerate(ordered[:k]) if is_right)
        best = sum(1 / math.log2(at + 2) for at in range(min(k, sum(ordered))))
        assert average_precision(scores, right)[row] == pytest.approx(np.mean(precision))
        assert ndcg(scores, right, k)[row] == pytest.approx(gain / best)
    np.testing.assert_array_equal(average_precision(scores[:, order], right[:, order]), average_precision(scores, right))
    np.testing.assert_array_equal(ndcg(scores[:, order], right[:, order], k), ndcg(scores, right, k))


def test_what_cannot_be_measured_is_said():
    bad, without = SCORES.copy(), RIGHT.copy()
    bad[2, 1], without[1] = np.nan, False
    for measure in (average_precision, lambda scores, right: ndcg(scores, right, 3)):
        with pytest.raises(Unmeasurable, match="query 2 with gallery entry 1 is NaN"):
            measure(bad, RIGHT)
        with pytest.raises(Unmeasurable, match=r"1 of 4 queries .* first is query 1"):
            measure(SCORES, without)
