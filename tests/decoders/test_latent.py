"""Pictures as latents and back: levels that are counted, frames that are pictures, and nothing that passes for trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.decoders.form import formed
from sensorium.decoders.latent import GridVAE, Latent
from sensorium.models import PictureVAE

SMALL = {"factor": 4, "latent": 2, "width": 8, "depth": 1}


def pictures(*shape: int) -> jax.Array:
    return jax.random.randint(jax.random.key(1), (*shape, 8, 12, 3), 0, 256).astype(jnp.uint8)


def numbers(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32) / 127.5 - 1.0


@pytest.fixture(scope="module")
def counted() -> GridVAE:
    """An autoencoder that has seen six pictures."""
    model = PictureVAE.build(SMALL, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)

    @jax.jit
    def seen(state, batch, key):
        model = nnx.merge(graph, state)
        out = model(batch, key)
        return out, nnx.state(model)

    out, state = seen(state, {"image": pictures(6)}, jax.random.key(0))
    assert out["image/made"].shape == (6, 8, 12, 3) and out["image/kl"].shape == (6, 1)
    return nnx.merge(graph, state).vae


def test_levels_are_the_mean_and_variance_of_each_channel(counted):
    means = run(counted, numbers(pictures(6)), method="encode").mean
    assert means.shape == (6, 2, 3, 2)
    level = run(counted, method="levels")
    np.testing.assert_allclose(level.mean, means.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(level.log_variance), means.var((0, 1, 2)), rtol=1e-3)


def test_the_form_of_a_clip_is_that_of_its_frames_within_one_and_comes_back(counted):
    form = formed({"form": "latent", **SMALL, "reach": 9.0})
    assert isinstance(form, Latent)
    assert np.isnan(run(form, pictures(1), method="into")).all(), "nothing passes for a latent before there are levels"
    form.take(counted)
    clip = pictures(2, 3)
    y = run(form, clip, method="into")
    one = run(form, clip[1], method="into")
    assert y.shape == (2, 3, 2, 3, 2) and np.abs(y).max() < 1
    np.testing.assert_allclose(y[1], one, atol=1e-6)
    back = run(form, jnp.asarray(y), method="back")
    assert back.dtype == np.uint8
    mean = run(counted, numbers(clip[0]), method="encode").mean
    expected = np.clip(np.round((run(counted, jnp.asarray(mean), method="decode") + 1) * 127.5), 0, 255)
    assert np.abs(back[0] - expected).max() <= 1
    form.reach = 0.01
    assert np.abs(run(form, clip, method="into")).max() == 1, "what lies beyond is cut"


def test_halved_once_more_and_refused_where_shapes_differ(counted):
    deep = GridVAE(factor=8, latent=3, width=4, depth=1, rngs=nnx.Rngs(0))
    x = jnp.zeros((1, 16, 8, 3))
    mean = run(deep, x, method="encode").mean
    assert mean.shape == (1, 2, 1, 3) and run(deep, jnp.asarray(mean), method="decode").shape == x.shape
    with pytest.raises(ValueError, match="other channels, factor"):
        Latent(**SMALL | {"latent": 3}).take(counted)
    with pytest.raises(ValueError, match=r"expected one of \(4, 8\)"):
        GridVAE(factor=2, rngs=nnx.Rngs(0))
