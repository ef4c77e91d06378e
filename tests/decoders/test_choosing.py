"""A choice from a closed set: the tokens of a text have together the probability of its class, and nothing else is written."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.decoders import ChoosingDecoder, Ends, Prompted, Sampling, scores, search, write

CHOICES = [[2, 4, 3], [2, 5, 3], [2, 6, 7, 3], [2, 6, 8, 3], [2, 6, 3]]
"""One word, or two that begin alike, of which one is the other's beginning; 3 ends them."""
ENDS = Ends(0, 3)


@cache
def decoder() -> ChoosingDecoder:
    made = ChoosingDecoder(9, 4, 6, 5, CHOICES, rngs=nnx.Rngs(0))
    made.head.kernel[...] *= 30.0
    return made


def about(rows: int = 4) -> Encoding:
    gist = jax.random.normal(jax.random.key(1), (rows, 5))
    return Encoding(jnp.zeros((rows, 1, 5)), jnp.ones((rows, 1), bool), gist)


def prompted(*ids: int) -> Prompted:
    return Prompted(about(), jnp.broadcast_to(jnp.array(ids, jnp.int32), (4, len(ids))))


def filled() -> np.ndarray:
    return np.array([row + [0] * (4 - len(row)) for row in CHOICES], np.int32)


def test_tokens_have_together_the_probability_of_their_class():
    classes = np.asarray(decoder().weigh(about()))
    np.testing.assert_allclose(np.exp(classes).sum(1), 1, rtol=1e-5)
    assert np.exp(classes).max() < 0.9, "opinions, but no certainty"
    ids = filled()
    found = np.asarray(scores(decoder(), prompted(2), jnp.asarray(ids[:, 1:]), jnp.asarray(ids[:, 1:] > 0)))
    np.testing.assert_allclose(found, classes, atol=1e-4)
    for row, text in enumerate(ids):  # all at once, as in learning
        logits = decoder()(jnp.broadcast_to(jnp.asarray(text), (4, 4))[:, :-1], about())
        said = np.asarray(jax.nn.log_softmax(logits))
        total = sum(said[:, i, text[i + 1]] for i in range(3) if text[i + 1])
        np.testing.assert_allclose(total, classes[:, row], atol=1e-4)


def test_the_likeliest_is_written_and_drawn_ones_are_of_the_set():
    classes = np.asarray(decoder().weigh(about()))
    ids, score = search(decoder(), prompted(2), ENDS, 5, length=3)[:2]
    best = classes.argmax(1)
    assert (np.asarray(ids).reshape(4, -1, 3)[:, 0] == filled()[best, 1:]).all()
    np.testing.assert_allclose(np.asarray(score).reshape(4, -1)[:, 0], classes.max(1), atol=1e-4)
    keys = jax.random.split(jax.random.key(0), 4)
    known = {tuple(row[1:]) for row in filled().tolist()}
    for seed in range(5):
        drawn, _ = write(decoder(), prompted(2), ENDS, Sampling(2.0), jax.vmap(jax.random.fold_in, (0, None))(keys, seed), 3)
        assert {tuple(row) for row in np.asarray(drawn).tolist()} <= known


def test_after_a_prompt_only_those_that_begin_so_are_left():
    classes = np.exp(np.asarray(decoder().weigh(about())))
    logits, _ = decoder().step(jnp.zeros(4, jnp.int32), jnp.int32(0), decoder().begin(prompted(2, 6), 2))
    found = np.asarray(jax.nn.softmax(logits))
    np.testing.assert_allclose(found[:, [7, 8, 3]], classes[:, 2:] / classes[:, 2:].sum(1, keepdims=True), rtol=1e-3)
    assert found[:, [0, 1, 2, 4, 5, 6]].max() == 0
    with pytest.raises(ValueError, match="a prompt of 2 tokens and 4 words: this decoder has 4 places"):
        decoder().begin(prompted(2, 6), 4)


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ([], "0 choices"),
        ([[2, 3], [2, 3]], "each once"),
        ([[2, 3], [1, 3]], "one mark"),
        ([[2, 99]], "ids < 9"),
        ([[2]], "of 2 to"),
    ],
)
def test_choices_that_are_none(choices, told):
    with pytest.raises(ValueError, match=told):
        ChoosingDecoder(9, 4, 6, 5, choices, rngs=nnx.Rngs(0))
