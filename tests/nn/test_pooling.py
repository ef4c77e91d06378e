"""Each way to make one vector of many tokens, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.nn.pooling import AttentionPool, at_end, masked_mean, side_by_side

TOKENS = jnp.arange(24.0).reshape(3, 4, 2)
MASK = jnp.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)


def test_the_mean_is_of_the_real_tokens_and_zero_of_none():
    np.testing.assert_allclose(masked_mean(TOKENS, MASK), [[1, 2], [12, 13], [0, 0]])
    np.testing.assert_allclose(masked_mean(jnp.where(MASK[:, :, None], TOKENS, jnp.nan), MASK), [[1, 2], [12, 13], [0, 0]])


def test_the_gradient_of_a_mean_of_nothing_is_zero():
    gradient = jax.grad(lambda x: jnp.sum(jnp.square(masked_mean(x, MASK) + 1.0)))(TOKENS)
    np.testing.assert_allclose(gradient[0, 0], [2.0, 3.0])  # 2 (1 + 1) / 2, 2 (2 + 1) / 2
    assert not gradient[2].any() and jnp.isfinite(gradient).all()


def test_the_end_is_the_first_real_end_mark_or_the_last_real_token():
    ids = jnp.array([[5, 1, 1, 1], [1, 7, 7, 8], [1, 1, 1, 1]])
    np.testing.assert_allclose(at_end(TOKENS, MASK, ids, 1), [[2, 3], [14, 15], [0, 0]])
    whole = jnp.ones(MASK.shape, bool)
    np.testing.assert_allclose(at_end(TOKENS, whole, ids, 1), [[2, 3], [8, 9], [16, 17]])
    np.testing.assert_allclose(at_end(TOKENS, whole, ids, 9), [[6, 7], [14, 15], [22, 23]])


def test_side_by_side_keeps_places_and_fills_with_zeros():
    flat = side_by_side(TOKENS, MASK, 5)
    np.testing.assert_allclose(flat[1], [0, 0, 10, 11, 0, 0, 14, 15, 0, 0])
    assert flat.shape == (3, 10) and not flat[2].any()
    with pytest.raises(ValueError, match="4 tokens, where there are places for 3"):
        side_by_side(TOKENS, MASK, 3)


def test_attention_asks_each_head_s_question_of_the_real_tokens():
    pool = AttentionPool(6, 3, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (3, 4, 6))
    kv, out = (np.asarray(layer.kernel[...], np.float64) for layer in (pool.key_value, pool.out))
    questions, expected = np.asarray(pool.questions[...], np.float64), np.zeros((3, 6))
    for row, head in np.ndindex(2, 3):
        k, v = (np.asarray(x[row]) @ kv[:, at + 2 * head : at + 2 * head + 2] for at in (0, 6))
        shares = np.exp(k @ questions[head] / np.sqrt(2)) * np.asarray(MASK[row])
        expected[row, 2 * head : 2 * head + 2] = shares / shares.sum() @ v
    np.testing.assert_allclose(run(pool, x, MASK), expected @ out, atol=1e-5)
    assert not run(pool, x, MASK)[2].any(), "nothing to look at: zero"


def test_a_width_that_heads_do_not_divide_is_an_error():
    with pytest.raises(ValueError, match="width 6 cannot be split into 4 heads"):
        AttentionPool(6, 4, rngs=nnx.Rngs(0))
