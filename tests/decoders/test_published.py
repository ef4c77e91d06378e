"""Decoders in published forms: word by word as all at once, rules, scores, and the search against every text there is."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.decoders import Ends, Prompted, PublishedDecoder, Ruled, Sampling, scores, search, write

VOCABULARY, ROWS, WORDS = 6, 8, 4
LAYERS = {"width": 8, "heads": 2, "hidden": 12}
DEPTH = {"blip": 2, "whisper": 1}
ENDS = Ends()


@cache
def decoder(form: str) -> PublishedDecoder:
    """Of parameters with opinions of their own, about a context of another width."""
    made = PublishedDecoder(VOCABULARY, 7, LAYERS | {"depth": DEPTH[form]}, form, context_width=6, rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(nnx.state(made))
    keys = jax.random.split(jax.random.key(2), len(leaves))
    nnx.update(
        made, jax.tree.unflatten(tree, [x + 0.4 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)])
    )
    return made


def about(prompt: int) -> Prompted:
    tokens = jax.random.normal(jax.random.key(1), (ROWS, 3, 6))
    mask = jnp.arange(3)[None] != jnp.arange(ROWS)[:, None]
    return Prompted(Encoding(tokens, mask, tokens[:, 0]), jax.random.randint(jax.random.key(3), (ROWS, prompt), 2, VOCABULARY))


@cache
def every_text() -> np.ndarray:
    """All that can be written: words 2 to 5 up to an end or up to the last place."""
    texts = []
    for n in range(WORDS + 1):
        texts += [[*said, *([1] if n < WORDS else []), *[0] * (WORDS - n - 1)] for said in product((2, 3, 4, 5), repeat=n)]
    return np.array(texts, np.int32)


@pytest.mark.parametrize(("form", "length"), [("blip", 3), ("whisper", 1)])
def test_word_by_word_with_a_cache_is_the_same_as_all_at_once(form, length):
    texts, context = jax.random.randint(jax.random.key(4), (ROWS, WORDS), 0, VOCABULARY), about(length)
    graph, state = nnx.split(decoder(form))

    @jax.jit
    def both(state, context):
        made = nnx.merge(graph, state)
        before = jnp.roll(texts, 1, axis=1).T  # at place 0 any word

        def step(cache, at):
            logits, cache = made.step(at[0], at[1], cache)
            return cache, logits

        one_by_one = jax.lax.scan(step, made.begin(context, WORDS), (before, jnp.arange(WORDS)))[1]
        return jnp.moveaxis(one_by_one, 0, 1), made(jnp.concatenate([context.prompt, texts], 1), context.context)

    stepped, whole = map(np.asarray, both(state, context))
    np.testing.assert_allclose(stepped, whole[:, length - 1 : -1], atol=2e-5)
    assert np.ptp(whole, axis=0).max() > 0.1, "rows differ"
    other = context.context._replace(tokens=jnp.where(context.context.mask[:, :, None], context.context.tokens, 9.0))
    np.testing.assert_array_equal(both(state, Prompted(other, context.prompt))[0], stepped)


def no_word_twice(logits: jax.Array, words: jax.Array, place: jax.Array) -> jax.Array:
    """And no end before the last place."""
    before = jnp.arange(words.shape[1])[None] < place
    said = jnp.any(jax.nn.one_hot(words, VOCABULARY, dtype=bool) & before[:, :, None], axis=1)
    ended = (jnp.arange(VOCABULARY) == ENDS.eos)[None] & (place < WORDS - 1)
    return jnp.where(said | ended, -jnp.inf, ENDS.words(logits))


def test_a_rule_holds_enough_beams_find_the_best_of_all_texts_and_scores_are_theirs():
    graph, state = nnx.split(decoder("whisper"))
    texts = jnp.asarray(every_text())

    @jax.jit
    def found(state, context):
        ruled = Ruled(nnx.merge(graph, state), no_word_twice)
        few, all_of_them = (search(ruled, context, ENDS, beams, length=WORDS) for beams in (3, VOCABULARY**3))
        return few, all_of_them, write(ruled, context, ENDS, Sampling(), None, WORDS), scores(ruled, context, texts, texts != 0)

    few, best, plain, chances = jax.tree.map(np.asarray, found(state, about(2)))
    np.testing.assert_allclose(np.exp(chances).sum(1), 1, atol=1e-4, err_msg="these are all texts")
    np.testing.assert_array_equal(best[0], every_text()[chances.argmax(1)])
    for ids, score in (few, best, plain):
        which = [np.flatnonzero((every_text() == text).all(1)).item() for text in ids]
        np.testing.assert_allclose(score, chances[np.arange(ROWS), which], atol=1e-4)
        assert all(len(set(text[text > 1])) == (text > 1).sum() >= 3 for text in ids)
    assert (few[1] >= plain[1] - 1e-5).all() and (best[1] >= few[1] - 1e-5).all() and (best[1] > plain[1] + 1e-2).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a prompt of 3 tokens and 6 words: this decoder has 7 places"):
        decoder("blip").begin(about(3), 6)
    with pytest.raises(ValueError, match="a text of 8 tokens, where this decoder was built for 1 to 7"):
        decoder("blip")(jnp.zeros((ROWS, 8), jnp.int32), about(1).context)


def test_an_end_that_also_fills_is_written():
    logits = jnp.zeros((1, 3))
    assert (Ends(2, 2).words(logits) == logits).all() and Ends(2, 1).words(logits)[0, 2] < -1e8
