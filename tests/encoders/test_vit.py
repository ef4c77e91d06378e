"""The vision transformer: other sizes, places, masks, heads."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.core.errors import UnknownName
from sensorium.encoders import ViT


@cache
def tiny(size=(8, 12), **dials) -> ViT:
    return ViT(size, 4, 8, 1, 2, **dials, rngs=nnx.Rngs(0))


def pooled(encoder: ViT, x, mask=None) -> np.ndarray:
    return run(encoder, jnp.asarray(x), mask).pooled


@pytest.fixture
def pictures() -> jax.Array:
    return jax.random.uniform(jax.random.key(1), (2, 8, 12, 3), minval=-1.0)


def test_bytes_are_read_as_minus_one_to_one(pictures):
    seen = ((np.asarray(pictures) + 1) * 127.5).round().astype(np.uint8)
    np.testing.assert_allclose(pooled(tiny(), seen), pooled(tiny(), (seen / 127.5 - 1).astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize("pooling", ["map", "mean"])
def test_where_a_thing_is_counts(pooling):
    """The same patches in other places are another picture."""
    picture = np.zeros((2, 8, 8, 3), np.float32)
    picture[0, :4, :4], picture[1, 4:, 4:] = 1.0, 1.0
    a, b = pooled(tiny((8, 8), pooling=pooling), picture)
    assert np.abs(a - b).max() > 0.01


@pytest.mark.parametrize("pooling", ["map", "mean"])
def test_patches_that_the_mask_leaves_out_are_not_seen(pictures, pooling):
    mask = jnp.ones((2, 6), bool).at[1, 4].set(False)  # the second row of patches, the second column
    encoder = tiny(pooling=pooling)
    hidden = pictures.at[1, 4:, 4:8].set(0.7)
    np.testing.assert_allclose(pooled(encoder, hidden, mask), pooled(encoder, pictures, mask), atol=1e-6)
    assert np.abs(pooled(encoder, hidden) - pooled(encoder, pictures))[1].max() > 1e-3
    assert not pooled(encoder, pictures, mask.at[1].set(False))[1].any()


def test_positions_of_other_sizes_are_resampled():
    """At its own size the positions are as learned; on twice the grid a linear slope stays one, away from the edges."""
    encoder = nnx.clone(tiny((16, 24)))
    np.testing.assert_array_equal(encoder.positions_for(4, 6), encoder.positions[...])
    slope = jnp.arange(4.0)[:, None, None] + 10 * jnp.arange(6.0)[None, :, None]
    encoder.positions[...] = jnp.broadcast_to(slope, (4, 6, 8))
    twice = np.asarray(encoder.positions_for(8, 12))[..., 0]
    expected = (np.arange(8)[:, None] - 0.5) / 2 + 10 * (np.arange(12) - 0.5) / 2
    np.testing.assert_allclose(twice[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-4)


def test_a_picture_of_another_size_is_read_and_depends_on_its_whole(pictures):
    encoder = tiny()
    larger = jax.image.resize(pictures, (2, 16, 24, 3), "nearest")
    before = pooled(encoder, larger)
    assert before.shape == (2, 8) and np.isfinite(before).all()
    assert np.abs(pooled(encoder, larger.at[0, -4:, -4:].set(1.0)) - before)[0].max() > 1e-3


def test_a_size_that_patches_do_not_fill_is_an_error_that_names_one_that_they_do(pictures):
    with pytest.raises(ValueError, match=r"pictures of 7×12, .*built for 8×12 .* patch, 4×4: resize them, for instance to 8×12"):
        tiny()(pictures[:, 1:])
    with pytest.raises(ValueError, match="pictures of 30×30"):
        tiny(30)
    with pytest.raises(UnknownName, match=r"no pooling of patches is called 'maps'\. Did you mean 'map'"):
        tiny(pooling="maps")


def test_every_head_matters(pictures):
    encoder = tiny()
    before = pooled(encoder, pictures)
    for head in range(2):
        muted = nnx.clone(tiny())
        out = muted.transformer.layers[0].out.kernel
        out[...] = out[...].at[4 * head : 4 * head + 4].set(0.0)
        assert np.abs(pooled(muted, pictures) - before).max() > 1e-3, head


def test_tokens_are_the_patches_row_by_row(pictures):
    """Without layers and positions a token is its patch, projected and normed."""
    encoder = ViT((8, 12), 4, 8, 0, 2, "mean", rngs=nnx.Rngs(0))
    encoder.positions[...] = jnp.zeros_like(encoder.positions[...])
    tokens = run(encoder, pictures).tokens
    raw = run(encoder.patches.project, pictures[:, 4:, 4:8].reshape(2, -1))
    np.testing.assert_allclose(tokens[:, 4], raw / np.sqrt((raw**2).mean(-1, keepdims=True)), atol=1e-4)
