"""The deep text transformer: each pooling, padding, order, heads."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.core.errors import UnknownName
from sensorium.encoders import TokenTransformer
from sensorium.encoders.transformer import POOLINGS

IDS = jnp.array([[4, 5, 6, 1, 0, 0], [7, 3, 1, 0, 0, 0]])
MASK = IDS != 0
each = pytest.mark.parametrize("pooling", POOLINGS)


@cache
def tiny(pooling: str, length: int = 8) -> TokenTransformer:
    return TokenTransformer(11, length, 8, 1, 2, pooling, rngs=nnx.Rngs(0))


def pooled(encoder: TokenTransformer, x, mask=None) -> np.ndarray:
    return run(encoder, jnp.asarray(x), mask).pooled


@each
def test_padding_in_any_amount_changes_nothing(pooling):
    encoder = tiny(pooling)
    before = pooled(encoder, IDS, MASK)
    assert before.shape == (2, encoder.pooled_width)
    longer = jnp.pad(IDS, ((0, 0), (0, 2)))
    np.testing.assert_allclose(pooled(encoder, longer, longer != 0), before, atol=1e-6)
    np.testing.assert_allclose(pooled(encoder, IDS[:, :4], MASK[:, :4]), before, atol=1e-6)
    np.testing.assert_allclose(pooled(encoder, jnp.where(MASK, IDS, 9), MASK), before, atol=1e-6)
    assert np.abs(pooled(encoder, IDS) - before).max() > 1e-2, "without a mask, padding is heard"


@each
def test_order_and_every_word_count(pooling):
    encoder = tiny(pooling)
    before = pooled(encoder, IDS, MASK)
    for changed in ([5, 4, 6, 1, 0, 0], [8, 5, 6, 1, 0, 0], [4, 8, 6, 1, 0, 0], [4, 5, 8, 1, 0, 0]):
        assert np.abs(pooled(encoder, jnp.array([changed]), MASK[:1]) - before[:1]).max() > 1e-2, changed


@each
def test_a_text_without_tokens_is_zero(pooling):
    assert not pooled(tiny(pooling), IDS, MASK.at[1].set(False))[1].any()


@each
def test_gradients_are_finite_also_without_tokens(pooling):
    encoder = tiny(pooling)
    graph, state = nnx.split(encoder, nnx.Param)
    mask = MASK.at[1].set(False)
    gradients = jax.jit(jax.grad(lambda state: jnp.sum(jnp.sin(nnx.merge(graph, state)(IDS, mask).pooled))))(state)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


def test_eos_takes_the_end_and_flatten_lays_places_apart():
    tokens = run(tiny("eos"), IDS, MASK)
    np.testing.assert_allclose(tokens.pooled, [tokens.tokens[0, 3], tokens.tokens[1, 2]], atol=1e-6)
    flat = run(tiny("flatten"), IDS, MASK)
    np.testing.assert_allclose(flat.pooled.reshape(2, 8, 8)[:, :6], flat.tokens, atol=1e-6)


def test_tokens_of_cls_are_those_of_the_text():
    encoding = run(tiny("cls"), IDS, MASK)
    assert encoding.tokens.shape == (2, 6, 8) and (encoding.mask == MASK).all()
    assert not encoding.tokens[~np.asarray(MASK)].any() and encoding.tokens[np.asarray(MASK)].any(axis=-1).all()


def test_every_head_matters():
    before = pooled(tiny("mean"), IDS, MASK)
    for head in range(2):
        muted = nnx.clone(tiny("mean"))
        out = muted.transformer.layers[0].out.kernel
        out[...] = out[...].at[4 * head : 4 * head + 4].set(0.0)
        assert np.abs(pooled(muted, IDS, MASK) - before).max() > 1e-3, head


def test_errors_name_what_fits():
    with pytest.raises(UnknownName, match=r"no pooling of a text is called 'means'\. Did you mean 'mean'"):
        tiny("means")
    with pytest.raises(ValueError, match="a text of 6 tokens, where this encoder was built for at most 5"):
        tiny("mean", length=5)(IDS)
