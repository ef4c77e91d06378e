"""Drawing words: which are left in, how often each comes, and how a text ends."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoders.writers import LENGTH, VOCABULARY, about, decoder
from flax import nnx

from sensorium.decoders import Ends, Sampling, write

CHANCES = np.log(np.array([0.05, 0.4, 0.15, 0.3, 0.1], np.float32))
ENDS = Ends()


@partial(jax.jit, static_argnums=(0, 1))
def _written(graph, sampling, state, context, keys):
    return write(nnx.merge(graph, state), context, ENDS, sampling, keys)


AS_IT_COMES = Sampling()


def written(context, sampling=AS_IT_COMES, keys=None, model=None):
    graph, state = nnx.split(decoder() if model is None else model)
    return tuple(np.asarray(x) for x in _written(graph, sampling, state, context, keys))


def keys(rows: int, seed: int = 0) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(rows))


def left_in(**dials) -> list[int]:
    return np.flatnonzero(np.isfinite(np.asarray(Sampling(**dials).kept(jnp.asarray(CHANCES))))).tolist()


def test_by_eye_which_words_are_left_in():
    assert left_in() == [0, 1, 2, 3, 4]
    assert left_in(top_k=2) == [1, 3]
    assert left_in(top_p=0.69) == [1, 3], "0.4 + 0.3 is enough"
    assert left_in(top_p=0.71) == [1, 2, 3], "0.4 + 0.3 is not"
    assert left_in(top_p=0.01) == [1]
    assert left_in(top_p=1.0) == [0, 1, 2, 3, 4]
    assert left_in(top_k=3, top_p=0.8) == [1, 3], "of the three, 0.4 and 0.3 hold 0.82"
    assert left_in(top_k=9) == [0, 1, 2, 3, 4]
    assert left_in(temperature=0.2, top_p=0.75) == [1], "a low temperature comes first"
    assert left_in(temperature=0, top_p=0.999) == left_in(temperature=1e-60, top_p=0.999) == [1]


def test_of_equal_words_no_more_are_left_in_than_are_needed():
    even = jnp.zeros(4)
    assert np.isfinite(np.asarray(Sampling(top_k=2).kept(even))).tolist() == [True, True, False, False]
    assert np.isfinite(np.asarray(Sampling(top_p=0.75).kept(even))).tolist() == [True, True, True, False]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_words_come_as_often_as_they_should(temperature):
    n = 20_000
    drawn = np.asarray(Sampling(temperature).draw(jnp.broadcast_to(jnp.asarray(CHANCES), (n, 5)), keys(n)))
    chances = np.exp(CHANCES / temperature) / np.exp(CHANCES / temperature).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / n, chances, atol=4 * np.sqrt(0.25 / n))


def test_a_tiny_temperature_and_the_first_word_only_are_greedy_writing():
    context = about(16)
    greedy, scores = written(context)
    for sampling in (
        Sampling(temperature=0.0),
        Sampling(temperature=1e-8),
        Sampling(temperature=1e-60),
        Sampling(top_k=1),
        Sampling(top_p=1e-6),
    ):
        ids, said = written(context, sampling, keys(16))
        np.testing.assert_array_equal(ids, greedy)
        np.testing.assert_allclose(said, scores, atol=1e-5)
    assert len({text.tobytes() for text in greedy}) > 3, "different things are told differently"
    assert (written(context, keys=keys(16))[0] != greedy).any()


def test_a_text_ends_and_what_comes_after_is_filling():
    ids, _ = written(about(64), keys=keys(64))
    ended = 0
    for text in ids.tolist():
        words = text[: text.index(1)] if 1 in text else text
        assert 0 not in words
        assert text == (words + [1] + [0] * LENGTH)[:LENGTH]
        ended += len(words) < LENGTH - 1
    assert 5 < ended < 64, "some end early and some do not"
    assert ids.dtype == np.int32


def test_a_score_is_the_log_probability_of_the_text():
    context = about(16)
    graph, state = nnx.split(decoder())
    whole = jax.jit(lambda text: jax.nn.log_softmax(ENDS.words(nnx.merge(graph, state)(text, context))))
    for draws in (None, keys(16)):
        ids, scores = written(context, keys=draws)
        chances = np.take_along_axis(np.asarray(whole(ids)), ids[:, :, None], axis=2)[:, :, 0]
        np.testing.assert_allclose(np.where(ids != 0, chances, 0).sum(1), scores, atol=1e-4)
        assert np.isfinite(scores).all()


def test_by_the_same_key_the_same_text_whatever_is_written_beside_it():
    context = about(4)
    ids, _ = written(context, keys=keys(4))
    np.testing.assert_array_equal(written(context, keys=keys(4))[0], ids)
    assert (written(context, keys=keys(4, seed=1))[0] != ids).any()
    for row in range(4):
        alone = jax.tree.map(lambda x, row=row: x[row : row + 1], context)
        np.testing.assert_array_equal(written(alone, keys=keys(4)[row : row + 1])[0][0], ids[row])
    same = jax.tree.map(lambda x: jnp.repeat(x[:1], 16, axis=0), context)
    assert len({text.tobytes() for text in written(same, keys=keys(16))[0]}) > 4, "rows draw apart"


def test_the_loop_stops_when_all_have_ended():
    """A decoder that says the end at once: the second word is never asked for, so what it would do there does not matter."""
    graph, state = nnx.split(decoder())
    model = nnx.merge(graph, jax.tree.map(lambda x: x, state))
    assert model.head.bias is not None
    model.head.bias[...] = jnp.zeros(VOCABULARY).at[ENDS.eos].set(100.0)
    model.place[...] = model.place[...].at[1:].set(jnp.nan)
    ids, scores = written(about(3), model=model)
    assert ids.tolist() == [[1, 0, 0, 0, 0]] * 3 and np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1: expected 0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": 0}, "top_k=0: expected a whole number of 1 or more"),
        ({"top_p": 0.0}, "top_p=0.0: expected a share"),
        ({"top_p": 1.5}, "top_p=1.5"),
    ],
)
def test_dials_out_of_range_are_refused(dials, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**dials)
