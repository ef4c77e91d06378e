"""The small language: levels by hand, agreement, order that matters, and all of it read back."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from sensorium.latent.words import END, FIRST, Language

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((300, 32)), jnp.float32)


def test_a_sentence_by_hand():
    """Three words: quantiles 0.05, 0.5 and 0.97 are the levels 0, 4 and 8 of nine; endings repeat what came before."""
    x = np.zeros((1, 32), np.float32)
    x[0, :3] = -1.6449, 0.0, 1.8808
    language = Language(1000, 4)
    assert language.endings == 2
    expected = [FIRST + 0, FIRST + 4 * 81 + 0 * 9, FIRST + 8 * 81 + 4 * 9 + 0, END]
    np.testing.assert_array_equal(language.say(jnp.asarray(x))[0], expected)
    assert language.spell(np.array(expected)) == "bababa kubaba pokuba."
    assert np.array(Language(20, 4).say(jnp.asarray(x)))[0].tolist() == [FIRST, FIRST + 4, FIRST + 8, END], (
        "a small vocabulary has no endings"
    )


@pytest.mark.parametrize("vocabulary", [11, 100, 1000, 30000])
def test_the_levels_are_read_back_the_odd_rounds_on_a_grid_of_one_less(vocabulary):
    language = Language(vocabulary, 100)
    text = np.asarray(language.say(X))
    assert text.min() == END and text.max() < vocabulary and (text[:, -1] == END).all()
    quantiles = ndtr(X)
    stems = language.stems(text)
    for place, grid in ((3, 9), (35, 8), (67, 9)):
        np.testing.assert_array_equal(stems[:, place], np.floor(quantiles[:, 3] * grid))


def test_almost_all_of_the_vocabulary_is_used():
    text = np.asarray(Language(1000, 50).say(X))
    assert len(np.unique(text)) > 700


def test_order_is_grammar_and_meaning():
    language = Language(1000, 50)
    text = np.asarray(language.say(X))
    assert language.grammatical(text).all()
    shuffled = np.concatenate([RNG.permuted(text[:, :-1], axis=1), text[:, -1:]], axis=1)
    assert not language.grammatical(shuffled).any()
    assert (language.stems(shuffled) != language.stems(text)).mean() > 0.8
    swapped = text.copy()
    swapped[:, [4, 5]] = text[:, [5, 4]]
    differs = (text[:, 4] != text[:, 5]) & (language.stems(text)[:, 4] != language.stems(text)[:, 5])
    assert not language.grammatical(swapped)[differs].any()
    noisy = text.copy()
    noisy[:, 7] = END
    assert not language.grammatical(noisy).any()


def test_bad_sizes_and_bad_words_are_errors():
    with pytest.raises(ValueError, match="text_vocab_size=10: expected at least 11"):
        Language(10, 5)
    with pytest.raises(ValueError, match="text_sequence_length=1"):
        Language(100, 1)
    with pytest.raises(ValueError, match="the id 900 is no word"):
        Language(1000, 50).spell(np.array([900, 1]))
