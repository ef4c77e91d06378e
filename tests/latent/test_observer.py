"""The limits: closed cases by hand, a hand-made observer that knows the same, and monotone in everything."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import multivariate_normal, norm

from sensorium.latent import observer
from sensorium.latent.observer import Bins, ceiling, evidence, posterior, recall, token_ceiling
from sensorium.latent.words import LEVELS, Language

FULL, SHORT = Language(1000, 50), Language(100, 9)


def test_the_evidence_of_two_copies_is_the_ratio_of_normal_densities():
    rng, rho = np.random.default_rng(0), 0.6
    a, b = rng.standard_normal((3, 32)), rng.standard_normal((2, 32))
    joint = multivariate_normal(np.zeros(2), np.array([[1, rho], [rho, 1]]))  # type: ignore[arg-type]
    by_hand = [
        [sum(joint.logpdf([x, y]) - norm.logpdf(x) - norm.logpdf(y) for x, y in zip(p, q, strict=True)) for q in b] for p in a
    ]
    np.testing.assert_allclose(evidence(a, b, rho), by_hand, rtol=1e-9)


def test_the_evidence_of_a_text_is_the_chance_of_its_words():
    """Against counting: among many pairs with this y, how often x falls into the cell, over how often it does at all."""
    rng, rho = np.random.default_rng(1), 0.7
    bins, y = Bins(Language(100, 2)), np.full((1, 32), 0.8)
    draws = rho * 0.8 + np.sqrt(1 - rho**2) * rng.standard_normal(400_000)
    counted = np.bincount((ndtr(draws) * LEVELS).astype(int), minlength=LEVELS) / len(draws)
    got = (bins.said(np.arange(LEVELS)[:, None]) @ bins.evidence(y, rho).T)[:, 0]
    np.testing.assert_allclose(np.exp(got) / LEVELS, counted, atol=3e-3)


def test_a_coordinate_told_twice_lies_in_a_cell_of_both_grids():
    bins = Bins(FULL)
    np.testing.assert_allclose(bins.edges(0), np.unique([*np.arange(10) / 9, *np.arange(9) / 8]).round(12))
    np.testing.assert_allclose(bins.edges(20), np.arange(10) / 9, atol=1e-11)
    x = np.random.default_rng(2).standard_normal((50, 32))
    cells = bins.cells(x)
    edges = bins.edges(0)
    assert (edges[cells[:, 0]] <= ndtr(x[:, 0])).all() and (ndtr(x[:, 0]) < edges[cells[:, 0] + 1]).all()


def test_recall_draws_ties_by_lot():
    scores = np.array([[3.0, 1, 1], [2, 2, 2], [1, 5, 0]])
    np.testing.assert_allclose(recall(scores, 1), [1, 1 / 3, 0])
    np.testing.assert_allclose(recall(scores, 2), [1, 2 / 3, 0])
    np.testing.assert_allclose(recall(scores, 3), [1, 1, 1])


def test_chance_without_alignment_and_certainty_with_all_of_it():
    for pair in (("text", "image"), ("image", "text"), ("image", "audio")):
        assert ceiling(*pair, 0.0, FULL, 50, 1, 4000, 0) == pytest.approx(1 / 50, abs=1e-9)
        assert ceiling(*pair, 1.0, FULL, 50, 1, 4000, 0) == pytest.approx(1, abs=1e-3)
        rising = [ceiling(*pair, a, FULL, 50, 1, 4000, 0) for a in (0.3, 0.5, 0.7, 0.9)]
        assert rising == sorted(rising) and rising[0] > 2 / 50
        assert ceiling(*pair, 0.7, FULL, 200, 1, 4000, 0) < ceiling(*pair, 0.7, FULL, 50, 1, 4000, 0)
        assert ceiling(*pair, 0.7, FULL, 50, 5, 4000, 0) > ceiling(*pair, 0.7, FULL, 50, 1, 4000, 0)


def test_what_a_text_leaves_out_lowers_its_ceiling():
    pictures = ceiling("image", "audio", 0.8, FULL, 100, 1, 4000, 0)
    full, short = (ceiling("text", "image", 0.8, language, 100, 1, 4000, 0) for language in (FULL, SHORT))
    assert pictures > full > short + 0.2


def test_a_pair_of_candidates_is_ranked_by_one_number():
    """With two candidates the optimum has a closed form: P(evidence difference > 0) is computed by brute force here."""
    rng, rho = np.random.default_rng(3), 0.5**2
    x = rng.standard_normal((20000, 32))
    y, z = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal(x.shape), rng.standard_normal(x.shape)
    gain = (rho * x * (y - z) - rho**2 * (y**2 - z**2) / 2).sum(1)
    assert ceiling("image", "audio", 0.5, FULL, 2, 1, 20000, 0) == pytest.approx((gain > 0).mean(), abs=0.01)


def test_no_other_guess_at_the_next_token_is_better():
    """Counting: with the true levels, the level guessed most often for each thirtieth of the seen value."""
    rng, rho = np.random.default_rng(4), 0.9**2
    told = rng.standard_normal(200_000)
    seen = rho * told + np.sqrt(1 - rho**2) * rng.standard_normal(told.shape)
    level, bucket = (ndtr(told) * LEVELS).astype(int), (ndtr(seen) * 30).astype(int)
    table = np.zeros((30, LEVELS))
    np.add.at(table, (bucket, level), 1)
    counted = table.max(1).sum() / len(told)
    language = Language(100, 33)
    best = (token_ceiling(0.9, language, 4000, 0) * 33 - 1) / 32  # the end is sure
    assert best == pytest.approx(counted, abs=0.01)
    assert token_ceiling(0.0, language, 4000, 0) == pytest.approx((32 / LEVELS + 1) / 33, abs=1e-6)
    assert token_ceiling(1.0, FULL, 2000, 0) == pytest.approx(1, abs=1e-3)


def test_a_word_that_tells_again_is_half_known():
    """At strength 0 the second word is one of at most two levels: the larger part of each ninth that an eighth cuts."""
    cuts = [max(min((n + 1) / 9, (m + 1) / 8) - max(n / 9, m / 8) for m in range(8)) * 9 for n in range(9)]
    expected = (32 / 9 + 17 * np.mean(cuts) + 1) / 50
    assert token_ceiling(0.0, FULL, 20000, 0) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("told", [True, False])
def test_the_posterior_is_the_regression_on_what_is_seen(told):
    rng, rho = np.random.default_rng(5), 0.64
    x = rng.standard_normal((40000, 32))
    y = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal(x.shape)
    mean, variance = posterior(x, told, rho, SHORT)
    left = y - mean
    seen = slice(0, SHORT.told)
    assert np.abs((left * mean).mean(0)).max() < 0.02, "nothing of it is left to predict"
    np.testing.assert_allclose(left.var(0)[seen], variance.mean(0)[seen], atol=0.02)
    if told:
        np.testing.assert_allclose(mean[:, 8:], 0)
        np.testing.assert_allclose(variance[:, 8:], 1, err_msg="eight words say nothing of the other coordinates")


def test_the_mass_between_edges_keeps_its_digits_in_both_tails():
    edges = np.array([-np.inf, -9.0, 0, 9, np.inf])
    got = observer._between(edges, np.array([0.0, 20.0]), 1.0)
    assert got[0, 0] == pytest.approx(got[0, 3], rel=1e-12) and got[0, 0] > 0
    assert got[1, 0] == pytest.approx(norm.logcdf(-29) and np.exp(norm.logcdf(-29)), rel=1e-9)
