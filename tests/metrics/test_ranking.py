"""Average precision and nDCG on a matrix that one can check by eye, and against naive definitions."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.metrics import (
    Unmeasurable,
    average_precision,
    average_precision_by_chance,
    ndcg,
    ndcg_by_chance,
    ranks,
    reciprocal,
)

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


def test_grades_count_as_they_are():
    """By hand, and what scikit-learn 1.9.1's ndcg_score(GRADES, scores, k=…) and average_precision_score(GRADES > 0, …) say."""
    scores, grades = (
        np.array([[0.9, 0.1, 0.3, 0.2, 0.6], [0.2, 0.5, 0.4, 0.3, 0.1]]),
        np.array([[1, 0, 0, 3, 2], [0, 2, 0, 1, 3]]),
    )
    second, third, fourth, fifth = (1 / math.log2(place) for place in (3, 4, 5, 6))
    by_hand = (1 + 2 * second + 3 * fourth) / (3 + 2 * second + third), (2 + third + 3 * fifth) / (3 + 2 * second + third)
    np.testing.assert_allclose(ndcg(scores, grades, 10), by_hand)
    np.testing.assert_allclose(ndcg(scores, grades, 10), [0.7463238207746713, 0.7687245741317422], rtol=1e-12)
    np.testing.assert_allclose(ndcg(scores, grades, 2), [0.5307212739772434, 0.46927872602275655], rtol=1e-12)
    np.testing.assert_allclose(average_precision(scores, grades > 0), [0.9166666666666665, 0.7555555555555555], rtol=1e-12)
    with pytest.raises(Unmeasurable, match="a grade of -1"):
        ndcg(scores, grades - 1, 2)


def test_what_was_not_found_counts_nowhere():
    scores, right = np.array([[0.9, -np.inf, 0.3]]), np.array([[True, True, False]])
    assert average_precision(scores, right)[0] == 1 / 2
    assert ndcg(scores, right, 3)[0] == pytest.approx(1 / (1 + 1 / math.log2(3)))


@pytest.mark.parametrize("grades", [(2, 0, 1, 0), (1, 0, 0), (3, 1), (1,)])
def test_chance_is_the_mean_over_all_orders(grades):
    """One further right entry, of grade 2, is not in the gallery."""
    every = np.array(list(permutations(range(len(grades)))), float)
    scores = np.concatenate([every, np.full((len(every), 1), -np.inf)], 1)
    told = np.broadcast_to([*grades, 2], scores.shape)
    found, right = np.array([sum(g > 0 for g in grades)]), np.array([sum(g > 0 for g in grades) + 1])
    chance = average_precision_by_chance(found, right, len(grades))
    np.testing.assert_allclose(chance, average_precision(scores, told > 0).mean())
    for k in (1, 2, 9):
        chance = ndcg_by_chance(np.array([float(sum(grades))]), told[:1].astype(float), len(grades), k)
        np.testing.assert_allclose(chance, ndcg(scores, told, k).mean())


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
