"""A decoder about an encoding: the ids of a field of texts, prompts, and what of the encoding is looked at."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.decoders import DECODERS, Prompted, TellingDecoder

TEXT = np.array([[2, 5, 4, 6, 3], [2, 6, 6, 4, 5], [2, 4, 5, 3, 0]], np.int32)


@cache
def programs():
    model = TellingDecoder(vocabulary=7, length=5, width=8, context_width=6, gist_width=10, heads=2, rngs=nnx.Rngs(0))
    assert DECODERS["tokens"] is TellingDecoder
    model.inner.head.kernel[...] *= 10.0  # opinions of its own
    graph, state = nnx.split(model)
    whole = jax.jit(lambda text, context, mask=None: nnx.merge(graph, state)(text, context, mask))
    begin = jax.jit(lambda context, prompt: nnx.merge(graph, state).begin(Prompted(context, prompt), 2))
    step = jax.jit(lambda before, place, cache: nnx.merge(graph, state).step(before, place, cache))
    return whole, begin, step


def encoding() -> Encoding:
    tokens, pooled = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(3, 4, 6), (3, 10)]))
    return Encoding(tokens, jnp.arange(4)[None] < jnp.array([4, 3, 1])[:, None], pooled)


def test_a_place_tells_of_the_token_after_it_and_the_first_id_says_nothing():
    whole, *_ = programs()
    logits = np.asarray(whole(TEXT, encoding()))
    for place in range(5):
        other = TEXT.copy()
        other[:, place] = (other[:, place] + 1) % 7
        changed = np.abs(np.asarray(whole(other, encoding())) - logits).max(-1) > 1e-4
        assert not changed[:, :place].any()
        assert changed[:, place:].all() if place else not changed.any()


def test_what_is_masked_of_the_encoding_has_no_effect_and_the_rest_has():
    whole, *_ = programs()
    about = encoding()
    logits = np.asarray(whole(TEXT, about))
    spoilt = about._replace(tokens=jnp.where(about.mask[:, :, None], about.tokens, jnp.nan))
    np.testing.assert_array_equal(whole(TEXT, spoilt), logits)
    for other in (about._replace(mask=about.mask.at[0, 1].set(False)), about._replace(pooled=about.pooled.at[0].add(1.0))):
        changed = np.abs(np.asarray(whole(TEXT, other)) - logits).max((1, 2)) > 1e-4
        assert changed.tolist() == [True, False, False]


@pytest.mark.parametrize("prompt", [1, 3])
def test_after_a_prompt_words_with_a_cache_are_those_all_at_once(prompt):
    whole, begin, step = programs()
    logits, cache = np.asarray(whole(TEXT, encoding())), begin(encoding(), TEXT[:, :prompt])
    before = jnp.zeros(3, jnp.int32)  # at place 0 it says nothing
    for place in range(2):
        said, cache = step(before, jnp.int32(place), cache)
        np.testing.assert_allclose(said, logits[:, prompt - 1 + place], atol=1e-5)
        before = jnp.asarray(TEXT[:, prompt + place])


def test_a_prompt_that_leaves_no_room_is_told():
    model = TellingDecoder(7, 5, 8, 6, 10, depth=1, heads=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="a prompt of 4 tokens and 3 words: this decoder has 5 places"):
        model.begin(Prompted(encoding(), jnp.zeros((3, 4), jnp.int32)), 3)
