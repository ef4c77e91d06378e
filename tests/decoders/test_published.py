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

VOCABULARY, ROWS, WORDS = 5, 4, 4
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
    mask = jnp.array([[True] * 3, [True, False, True], [True] * 3, [False, True, True]])
    return Prompted(Encoding(tokens, mask, tokens[:, 0]), jax.random.randint(jax.random.key(3), (ROWS, prompt), 2, VOCABULARY))


@cache
def every_text() -> np.ndarray:
    """All that can be written: words 2, 3, 4 up to an end or up to the last place."""
    texts = []
    for n in range(WORDS + 1):
        texts += [[*said, *([1] if n < WORDS else []), *[0] * (WORDS - n - 1)] for said in product((2, 3, 4), repeat=n)]
    return np.array(texts, np.int32)


@pytest.mark.parametrize(("form", "length"), [("blip", 3), ("whisper", 1)])
def test_word_by_word_with_a_cache_is_the_same_as_all_at_once(form, length):
    texts, context = jax.random.randint(jax.random.key(4), (ROWS, WORDS), 0, VOCABULARY), about(length)
    graph, state = nnx.split(decoder(form))

    @jax.jit
    def both(state, context):
        made = nnx.merge(graph, state)
        before = jnp.roll(texts, 1, axis=1).T  # at place 0 any word
        step = lambda cache, at: made.step(at[0], at[1], cache)[::-1]  # noqa: E731
        one_by_one = jax.lax.scan(step, made.begin(context, WORDS), (before, jnp.arange(WORDS)))[1]
        return jnp.moveaxis(one_by_one, 0, 1), made(jnp.concatenate([context.prompt, texts], 1), context.context)

    stepped, whole = map(np.asarray, both(state, context))
    np.testing.assert_allclose(stepped, whole[:, length - 1 : -1], atol=2e-5)
    assert np.ptp(whole, axis=0).max() > 0.1, "rows differ"
    other = context.context._replace(tokens=jnp.where(context.context.mask[:, :, None], context.context.tokens, 9.0))
    np.testing.assert_array_equal(both(state, Prompted(other, context.prompt))[0], stepped)


def test_enough_beams_find_the_best_of_all_texts_and_scores_are_theirs():
    graph, state = nnx.split(decoder("whisper"))
    texts = jnp.asarray(every_text())

    @jax.jit
    def found(state, context):
        made = nnx.merge(graph, state)
        never_pads = Ruled(made, lambda logits, words, place: ENDS.words(logits))
        best = search(made, context, ENDS, VOCABULARY**3, length=WORDS)
        return *best, *write(made, context, ENDS, Sampling(), None, WORDS), scores(never_pads, context, texts, texts != ENDS.pad)

    ids, score, _, plain, chances = map(np.asarray, found(state, about(2)))
    np.testing.assert_allclose(np.exp(chances).sum(1), 1, atol=1e-4, err_msg="these are all texts")
    np.testing.assert_array_equal(ids, every_text()[chances.argmax(1)])
    np.testing.assert_allclose(score, chances.max(1), atol=1e-4)
    assert (score >= plain - 1e-5).all() and (score > plain + 1e-2).any()


def test_a_rule_sees_what_was_written_in_writing_and_in_a_search():
    """No word twice; an end only at the last place."""
    graph, state = nnx.split(decoder("whisper"))

    def rule(logits, words, place):
        before = jnp.arange(words.shape[1])[None] < place
        said = jnp.any(jax.nn.one_hot(words, VOCABULARY, dtype=bool) & before[:, :, None], axis=1)
        ended = (jnp.arange(VOCABULARY) == ENDS.eos)[None] & (place < WORDS - 1)
        return jnp.where(said | ended, -jnp.inf, logits)

    @jax.jit
    def found(state, context):
        ruled = Ruled(nnx.merge(graph, state), rule)
        return write(ruled, context, ENDS, Sampling(), None, WORDS)[0], search(ruled, context, ENDS, 3, length=WORDS)[0]

    for ids in found(state, about(1)):
        assert (np.sort(np.asarray(ids)[:, :3]) == [2, 3, 4]).all() and (np.asarray(ids)[:, 3] == ENDS.eos).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a prompt of 3 tokens and 6 words: this decoder has 7 places"):
        decoder("blip").begin(about(3), 6)
    with pytest.raises(ValueError, match="a text of 8 tokens, where this decoder was built for 1 to 7"):
        decoder("blip")(jnp.zeros((ROWS, 8), jnp.int32), about(1).context)


def test_an_end_that_also_fills_is_written():
    logits = jnp.zeros((1, 3))
    assert (Ends(2, 2).words(logits) == logits).all() and Ends(2, 1).words(logits)[0, 2] < -1e8
