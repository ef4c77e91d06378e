"""Ranks and recall against matrices that one can check by eye, a naive reference, and chance against simulation."""

import sys
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.metrics import Unmeasurable, chance, median_rank, ranks, recall, retrieval

SCORES = np.array(
    [
        [0.9, 0.1, 0.3, 0.2],  # right: 0, first
        [0.5, 0.4, 0.8, 0.1],  # right: 1, third
        [0.7, 0.7, 0.7, 0.7],  # right: 2, all tie: last
        [0.1, 0.6, 0.5, 0.6],  # right: 0 and 3; 3 ties with 1: second
    ]
)
RIGHT = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]], bool)


def test_ranks_by_eye():
    assert ranks(SCORES, RIGHT).tolist() == [1, 3, 4, 2]


def test_the_best_of_several_right_answers_counts_and_the_others_are_not_in_its_way():
    scores = np.array([[0.9, 0.8, 0.7, 0.6]])
    assert ranks(scores, np.array([[False, True, True, True]])).tolist() == [2]
    assert ranks(scores, np.array([[True, True, False, True]])).tolist() == [1]
    assert ranks(scores, np.array([[False, False, False, True]])).tolist() == [4]
    assert ranks(np.zeros((1, 4)), np.ones((1, 4), bool)).tolist() == [1]


def test_recall_and_median_by_eye():
    found = np.array([1, 3, 4, 2])
    assert [recall(found, k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]
    assert median_rank(found) == 2.5


@st.composite
def problems(draw):
    q, k = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    cells = st.lists(st.integers(-2, 2), min_size=q * k, max_size=q * k)
    scores = np.array(draw(cells), float).reshape(q, k)  # few values, so many ties
    right = np.array(draw(st.lists(st.booleans(), min_size=q * k, max_size=q * k))).reshape(q, k)
    right[np.arange(q), draw(st.lists(st.integers(0, k - 1), min_size=q, max_size=q))] = True
    return scores, right, draw(st.permutations(range(k)))


@given(problems())
def test_ranks_are_those_of_a_pessimistic_sort_and_do_not_depend_on_the_order_of_the_gallery(problem):
    scores, right, order = problem
    naive = []
    for row, good in zip(scores, right, strict=True):
        ordered = sorted(zip(-row, good, strict=True))  # descending score; False, the wrong ones, first among equals
        first = next(i for i, (_, is_right) in enumerate(ordered) if is_right)
        naive.append(1 + sum(not is_right for _, is_right in ordered[:first]))
    assert ranks(scores, right).tolist() == naive
    assert ranks(scores[:, order], right[:, order]).tolist() == naive
    assert all(recall(np.array(naive), k) <= recall(np.array(naive), k + 1) for k in range(1, 9))


@given(problems(), st.integers(1, 10))
def test_chance_is_the_hypergeometric_formula(problem, k):
    _, right, _ = problem
    size = right.shape[1]
    exact = [1 - comb(size - p, k) / comb(size, k) if k <= size else 1.0 for p in right.sum(1).tolist()]
    assert chance(right, k) == pytest.approx(np.mean(exact), abs=1e-12)


def test_random_scores_have_the_recall_of_chance():
    rng = np.random.default_rng(0)
    right = rng.random((4000, 30)) < 0.07
    right[:, 0] = True
    found = ranks(rng.random(right.shape), right)
    for k in (1, 5, 10):
        assert recall(found, k) == pytest.approx(chance(right, k), abs=0.025)


def test_nan_and_unanswerable_queries_are_errors_that_name_the_place():
    bad = SCORES.copy()
    bad[2, 1] = np.nan
    with pytest.raises(Unmeasurable, match="query 2 with gallery entry 1 is NaN"):
        ranks(bad, RIGHT)
    without = RIGHT.copy()
    without[1] = False
    for measure in (lambda: ranks(SCORES, without), lambda: chance(without, 1)):
        with pytest.raises(Unmeasurable, match=r"1 of 4 queries .* first is query 1"):
            measure()


def test_a_direction_by_eye():
    axes = np.eye(4, dtype=np.float32)
    queries, gallery = axes[[0, 1, 2, 3]], axes[[0, 0, 2, 1]]
    found = retrieval(queries, gallery, np.array([10, 11, 12, 13]), np.array([10, 12, 11, 10]), ks=(1, 3))
    # Query 0: two right answers at 0 and 3, entry 1 ties with the first: rank 2. Query 1: right at 2, scores 0 like
    # entries 0 and 1, entry 3 above: rank 4. Query 2: right at 1, scores 0, and 2 is above it: rank 4. Query 3: none.
    assert found["queries"] == 3 and found["gallery"] == 4 and found["excluded"] == 1
    assert found["median_rank"] == 4
    assert found["recall@1"] == 0 and found["recall@3"] == pytest.approx(1 / 3)
    assert found["recall@1/chance"] == pytest.approx((2 + 1 + 1) / 4 / 3)
    assert found["recall@3/chance"] == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    assert found["recall@3/low"] == 0 and found["recall@3/high"] == 1


def vectors(seed: int, *shape: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_blocks_change_nothing_and_neither_does_the_order_of_the_gallery(monkeypatch):
    truth, noise = vectors(0, 300, 16), vectors(1, 300, 16)
    queries, groups = truth + 1.5 * noise, np.arange(300) // 2
    whole = retrieval(queries, truth, groups, groups)
    assert 0.2 < whole["recall@1"] < 0.9
    monkeypatch.setattr(sys.modules[ranks.__module__], "_CELLS", 300 * 7)  # the package's name for it is the function
    assert retrieval(queries, truth, groups, groups) == whole
    order = np.random.default_rng(2).permutation(300)
    assert retrieval(queries, truth[order], groups, groups[order]) == whole


def test_a_collapsed_space_has_the_worst_rank_and_a_perfect_one_the_best():
    groups = np.arange(50)
    point = np.tile(np.eye(1, 4, dtype=np.float32), (50, 1))
    assert retrieval(point, point, groups, groups)["recall@10"] == 0
    assert retrieval(point, point, groups, groups)["median_rank"] == 50
    perfect = retrieval(vectors(3, 50, 32), vectors(3, 50, 32), groups, groups)
    assert perfect["recall@1"] == perfect["recall@1/low"] == perfect["median_rank"] == 1


def test_a_random_space_is_at_chance_within_its_own_interval():
    groups = np.arange(1000)
    found = retrieval(vectors(4, 1000, 64), vectors(5, 1000, 64), groups, groups)
    assert found["recall@10/chance"] == pytest.approx(0.01)
    assert found["recall@10/low"] <= 0.01 <= found["recall@10/high"]
    assert 400 < found["median_rank"] < 600


def test_what_cannot_be_measured_is_said():
    x, groups = vectors(6, 5, 4), np.arange(5)
    with pytest.raises(Unmeasurable, match="none of 5 queries"):
        retrieval(x, x, groups, groups + 100)
    with pytest.raises(Unmeasurable, match="none of 5 queries"):
        retrieval(x, x[:0], groups, groups[:0])
    with pytest.raises(Unmeasurable, match="query 0 with gallery entry 3"):
        retrieval(x, np.where(groups[:, None] == 3, np.float32(np.nan), x), groups, groups)
    with pytest.raises(Unmeasurable, match="NaN"):
        retrieval(x, np.where(groups[:, None] == 3, np.float32(np.inf) * np.sign(x), x), groups, groups)
