"""Beam search against looking at every text there is."""

from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoders.writers import about, decoder
from flax import nnx

from sensorium.decoders import Context, Ends, Sampling, search, several, write
from sensorium.decoders.beam import length_penalty

VOCABULARY, LENGTH, ROWS = 5, 4, 24
ENDS = Ends()
PENALTIES = (0.0, 1.0)


@cache
def model():
    return decoder(3, VOCABULARY, LENGTH)


@partial(jax.jit, static_argnums=(0, 1))
def _found(beams, penalty, state, context):
    return search(nnx.merge(nnx.split(model())[0], state), context, ENDS, beams, penalty)


def found(beams: int, penalty: float = 0.0, context: Context | None = None) -> tuple[np.ndarray, np.ndarray]:
    ids, scores = _found(beams, penalty, nnx.split(model())[1], context or about(ROWS))
    return np.asarray(ids), np.asarray(scores)


@cache
def greedy() -> tuple[np.ndarray, np.ndarray]:
    graph, state = nnx.split(model())
    ids, scores = jax.jit(lambda state: write(nnx.merge(graph, state), about(ROWS), ENDS, Sampling(), None))(state)
    return np.asarray(ids), np.asarray(scores)


@cache
def every_text() -> np.ndarray:
    """All that can be written: words 2, 3, 4 up to an end or up to the last place."""
    texts = []
    for n in range(LENGTH + 1):
        texts += [[*words, *([1] if n < LENGTH else []), *[0] * (LENGTH - n - 1)] for words in product((2, 3, 4), repeat=n)]
    return np.array(texts, np.int32)


@cache
def chances() -> np.ndarray:
    """The log-probability of every text, for every row of the context."""
    graph, state = nnx.split(model())
    texts, rows = every_text(), []
    whole = jax.jit(lambda context: jax.nn.log_softmax(ENDS.words(nnx.merge(graph, state)(jnp.asarray(texts), context))))
    for row in range(ROWS):
        one = jax.tree.map(lambda x, row=row: jnp.repeat(x[row : row + 1], len(texts), axis=0), about(ROWS))
        said = np.take_along_axis(np.asarray(whole(one)), texts[:, :, None], axis=2)[:, :, 0]
        rows.append(np.where(texts != ENDS.pad, said, 0).sum(1))
    return np.stack(rows)


def test_all_texts_are_there():
    np.testing.assert_allclose(np.exp(chances()).sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_enough_beams_find_the_best_of_all_texts(penalty):
    lengths = (every_text() != ENDS.pad).sum(1)
    scores = chances() / ((5 + lengths) / 6) ** penalty
    ids, score = found(VOCABULARY**3, penalty)
    np.testing.assert_array_equal(ids, every_text()[scores.argmax(1)])
    np.testing.assert_allclose(score, scores.max(1), atol=1e-4)


def test_a_penalty_favours_longer_texts():
    short, long = ((found(VOCABULARY**3, penalty)[0] != ENDS.pad).sum(1) for penalty in PENALTIES)
    assert (long >= short).all() and (long > short).any()


def test_one_beam_is_greedy_writing():
    ids, scores = found(1)
    np.testing.assert_array_equal(ids, greedy()[0])
    np.testing.assert_allclose(scores, greedy()[1], atol=1e-5)


def test_more_beams_are_never_worse_than_greedy_writing_and_often_better():
    scores = [greedy()[1], *(found(beams)[1] for beams in (2, 3)), found(VOCABULARY**3)[1]]
    for score in scores[1:]:
        assert (score >= scores[0] - 1e-5).all() and (score <= scores[-1] + 1e-5).all()
    assert (scores[2] > scores[0] + 1e-3).sum() > 3


def test_a_score_is_that_of_the_text_that_comes_with_it():
    ids, scores = found(3)
    which = [np.flatnonzero((every_text() == text).all(1)).item() for text in ids]
    np.testing.assert_allclose(scores, chances()[np.arange(ROWS), which], atol=1e-4)


def test_a_row_is_the_same_alone():
    ids, scores = found(3)
    for row in range(0, ROWS, 8):
        alone = jax.tree.map(lambda x, row=row: x[row : row + 1], about(ROWS))
        text, score = found(3, context=alone)
        np.testing.assert_array_equal(text[0], ids[row])
        np.testing.assert_allclose(score[0], scores[row], atol=1e-5)


def test_by_eye_the_length_penalty():
    assert float(length_penalty(1, 0.7)) == 1.0 and float(length_penalty(7, 1.0)) == 2.0 and float(length_penalty(9, 0.0)) == 1.0


def test_bad_dials_are_refused():
    with pytest.raises(ValueError, match="beams=0: expected a whole number of 1 or more"):
        search(model(), about(1), ENDS, 0)
    with pytest.raises(ValueError, match=r"length_penalty=-1\.0"):
        search(model(), about(1), ENDS, 2, -1.0)


def test_several_texts_are_the_best_ones_there_are_each_once():
    graph, state = nnx.split(model())
    many = jax.jit(lambda state: several(nnx.merge(graph, state), about(ROWS), ENDS, VOCABULARY**3, 6))
    ids, scores = map(np.asarray, many(state))
    order = np.argsort(-chances(), axis=1)[:, :6]
    np.testing.assert_allclose(scores, np.take_along_axis(chances(), order, 1), atol=1e-4)
    assert all(len({tuple(text) for text in row}) == 6 for row in ids.tolist())
    np.testing.assert_array_equal(ids[:, 0], every_text()[order[:, 0]])
