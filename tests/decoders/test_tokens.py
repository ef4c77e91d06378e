"""The decoder of tokens: what a place may know, what stands in the cache, and that every word is heard."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoders.writers import LENGTH, VOCABULARY, about, decoder
from flax import nnx

from sensorium.decoders import TokenDecoder

TEXT = np.array([[3, 5, 2, 6, 4], [6, 2, 2, 3, 1], [4, 2, 5, 1, 0]], np.int32)


@cache
def program():
    graph, state = nnx.split(decoder())
    whole = jax.jit(lambda text, context, mask=None: nnx.merge(graph, state)(text, context, mask))
    return lambda *x: np.asarray(whole(*x))


def test_a_place_knows_what_is_before_it_and_nothing_after():
    """[V] In the sample code the words before change nothing."""
    logits = program()(TEXT, about(3))
    for place in range(LENGTH):
        other = TEXT.copy()
        other[:, place] = (other[:, place] + 1) % VOCABULARY
        changed = np.abs(program()(other, about(3)) - logits).max(-1) > 1e-4
        assert not changed[:, : place + 1].any()
        assert changed[:, place + 1 :].all(), f"the word at {place} is not heard by all places after it"


def test_the_order_of_the_words_counts():
    swapped = TEXT[:, [1, 0, 2, 3, 4]]
    assert np.abs(program()(swapped, about(3))[:, 2:] - program()(TEXT, about(3))[:, 2:]).max(-1).min() > 1e-3


@pytest.mark.parametrize("part", ["tokens", "gist"])
def test_every_place_knows_the_context(part):
    context = about(3)
    other = context._replace(**{part: getattr(context, part)[::-1]})
    changed = np.abs(program()(TEXT, other) - program()(TEXT, context)).max(-1) > 1e-4
    assert changed[[0, 2]].all() and not changed[1].any()


def test_places_tell_different_things_of_one_context():
    """[V] In the sample code every token comes from the same logits."""
    same = np.full((3, LENGTH), 4, np.int32)
    logits = program()(same, about(3))
    assert np.abs(logits[:, 1:, None] - logits[:, None, 1:]).max(-1)[:, ~np.eye(LENGTH - 1, dtype=bool)].min() > 1e-2


def test_word_by_word_with_a_cache_is_the_same_as_all_at_once():
    model, context = decoder(), about(3)
    graph, state = nnx.split(model)
    begin = jax.jit(lambda context: nnx.merge(graph, state).begin(context))
    step = jax.jit(lambda before, place, cache: nnx.merge(graph, state).step(before, place, cache))
    memory, before, found = begin(context), jnp.zeros(3, jnp.int32), []
    for place in range(LENGTH):
        logits, memory = step(before, jnp.int32(place), memory)
        found.append(np.asarray(logits))
        before = jnp.asarray(TEXT[:, place])
    np.testing.assert_allclose(np.stack(found, axis=1), program()(TEXT, context), atol=1e-5)


def test_a_row_is_the_same_alone_and_a_shorter_text_is_its_beginning():
    logits, context = program()(TEXT, about(3)), about(3)
    for row in range(3):
        alone = jax.tree.map(lambda x, row=row: x[row : row + 1], context)
        np.testing.assert_allclose(program()(TEXT[row : row + 1], alone)[0], logits[row], atol=1e-5)
    np.testing.assert_allclose(program()(TEXT[:, :2], context), logits[:, :2], atol=1e-5)


def test_a_masked_word_is_not_heard():
    mask = np.ones(TEXT.shape, bool)
    mask[0, 1] = False
    other = TEXT.copy()
    other[0, 1] = 2
    np.testing.assert_array_equal(program()(other, about(3), mask), program()(TEXT, about(3), mask))
    assert np.abs(program()(TEXT, about(3), mask) - program()(TEXT, about(3)))[0, 2:].max() > 1e-3
    np.testing.assert_array_equal(program()(TEXT, about(3), np.ones_like(mask)), program()(TEXT, about(3)))


def test_every_parameter_has_a_finite_gradient_and_an_effect():
    graph, state = nnx.split(decoder(), nnx.Param)

    def loss(state):
        return jnp.mean(jnp.square(nnx.merge(graph, state)(jnp.asarray(TEXT), about(3))))

    for path, gradient in nnx.to_flat_state(jax.jit(jax.grad(loss))(state)):
        assert jnp.isfinite(gradient[...]).all() and jnp.abs(gradient[...]).max() > 0, path


def test_the_size_of_the_largest_that_the_guide_names():
    model = nnx.eval_shape(lambda: TokenDecoder(10_000, 50, 512, rngs=nnx.Rngs(0)))
    assert sum(x.size for x in jax.tree.leaves(nnx.state(model))) < 18e6


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="width 10 cannot be split into 4 heads"):
        TokenDecoder(8, 4, 10, heads=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=f"6 tokens, where this decoder was built for 1 to {LENGTH}"):
        decoder()(jnp.zeros((3, 6), jnp.int32), about(3))
