import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modalities.samples import smooth

from sensorium.data.near import DIFFERENT, groups, joined, near_pairs, near_points, near_texts, perceptual_hash, shrink

LONG = "a tall ship with three masts leaves the harbour while people on the pier wave their hats at it"


def flipped(hash: int, bits: list[int]) -> int:
    for bit in bits:
        hash ^= 1 << bit
    return hash


def test_pairs_are_those_of_at_most_four_unlike_bits():
    """Against all pairs, one by one."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, np.uint64)
    for row in range(0, 200, 2):  # the next one is near it: 0 to 9 bits away
        bits = rng.choice(64, row % 10, replace=False).tolist()
        hashes[row + 1] = flipped(int(hashes[row]), bits)
    expected = [
        (a, b) for a in range(300) for b in range(a + 1, 300) if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= DIFFERENT
    ]
    assert [tuple(pair) for pair in near_pairs(hashes).tolist()] == expected and len(expected) >= 60


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_hashes(n):
    assert near_pairs(np.zeros(n, np.uint64)).tolist() == [[0, 1]][: n // 2]


def test_many_equal_ones_are_one_group_without_all_their_pairs():
    hashes = [7] * 3000
    assert len(near_pairs(np.array(hashes, np.uint64))) < 3000 * 9
    points = np.zeros((3000, 4))
    assert groups(hashes, points, 1.0, lambda pairs: np.ones(len(pairs), bool)) == [tuple(range(3000))]
    assert groups(hashes, points, 1.0, lambda pairs: np.zeros(len(pairs), bool)) == []


def test_points_that_differ_by_little_everywhere_are_proposed_and_few_others():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 255, (2000, 48))
    points[1::2] = points[::2] + rng.normal(0, 1, (1000, 48))
    pairs = near_points(points, 24.0)
    assert len({(row, row + 1) for row in range(0, 2000, 2)} & set(map(tuple, pairs.tolist()))) >= 990 and len(pairs) < 1020
    assert len(near_points(points[:0], 24.0)) == 0 == len(near_points(points[:1], 24.0))


def test_a_hash_survives_shrinking_and_noise_but_not_another_picture():
    grey = np.kron(np.random.default_rng(1).uniform(0, 255, (8, 8)), np.ones((12, 12)))
    own = perceptual_hash(shrink(grey, 32, 32))
    smaller = shrink(grey, 48, 48) + np.random.default_rng(0).normal(0, 2, (48, 48))
    assert (own ^ perceptual_hash(shrink(smaller, 32, 32))).bit_count() <= 6
    other = perceptual_hash(shrink(smooth(96, 96, seed=5).mean(-1), 32, 32))
    assert (own ^ other).bit_count() > 12


@given(st.integers(1, 70), st.integers(1, 70))
def test_shrinking_keeps_the_mean_of_a_constant_and_is_a_mean(rows, columns):
    x = np.full((64, 50), 3.25)
    assert np.allclose(shrink(x, rows, columns), 3.25) and shrink(x, rows, columns).shape == (rows, columns)


def test_shrinking_by_whole_cells_is_their_mean():
    x = np.arange(64.0).reshape(8, 8)
    assert np.allclose(shrink(x, 4, 4), x.reshape(4, 2, 4, 2).mean((1, 3)))


def test_texts_that_differ_in_a_letter_or_two_of_many_are_near_and_others_are_not():
    texts = [
        LONG,
        LONG.replace("hats", "hat"),
        LONG.replace("three masts", "two sails"),
        "something else entirely, as long as the others are",
    ]
    assert near_texts(texts) == [(0, 1)]
    assert near_texts([]) == [] and near_texts(["a", "a"]) == [(0, 1)]


def test_groups_are_joined_through_others():
    assert joined(6, [(4, 2), (0, 5), (2, 5)]) == [(0, 2, 4, 5)]
