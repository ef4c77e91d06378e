"""The text encoder: order counts, and a small table is looked up as a large one is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.encoders import TextTransformer


def pooled(encoder: TextTransformer, x, mask=None) -> np.ndarray:
    graph, state = nnx.split(encoder)
    return np.asarray(jax.jit(lambda state, x, mask: nnx.merge(graph, state)(x, mask).pooled)(state, jnp.asarray(x), mask))


def test_word_order_counts():
    encoder, _ = TextTransformer.tiny(nnx.Rngs(0))
    a, b = pooled(encoder, np.array([[1, 5, 6, 7, 2, 0], [1, 7, 6, 5, 2, 0]], np.int32))
    assert np.abs(a - b).max() > 0.1


def test_without_a_mask_every_token_counts():
    encoder, x = TextTransformer.tiny(nnx.Rngs(0))
    np.testing.assert_allclose(pooled(encoder, x), pooled(encoder, x, jnp.ones(x.shape, bool)), atol=1e-6)


@pytest.mark.parametrize("vocabulary", [512, 513])
def test_the_product_and_the_look_up_are_one(vocabulary):
    """Below 513 pieces the table is multiplied with one-hot rows, above it is indexed."""
    encoder = TextTransformer(vocabulary, 4, width=8, heads=2, rngs=nnx.Rngs(0))
    x = jnp.array([[0, 3, vocabulary - 1, 3]])
    np.testing.assert_allclose(encoder._embed(x)[0], np.asarray(encoder.table[...])[np.asarray(x[0])], atol=1e-6)
