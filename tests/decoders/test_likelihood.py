"""Likelihoods of fields: densities that scipy knows, and what is drawn is as wide as it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run
from scipy import stats

from sensorium.decoders.likelihood import GridLikelihood, TokenLikelihood
from sensorium.nn.spectrogram import log_mel


def test_numbers_are_normal_about_what_is_made_of_the_latent():
    grid = GridLikelihood(3, (4,), 2, (4,), 8, mean=(1.0, 2.0), std=(0.5, 4.0), rngs=nnx.Rngs(0))
    grid.log_deviation[...] = jnp.log(jnp.float32(0.3))
    z, x = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(((2, 3), (2, 4, 2))))
    mask = jnp.array([[True] * 4, [True, True, False, False]])
    made = run(grid, z, method="generate")
    log_p = stats.norm.logpdf(np.asarray(x), made, 0.3 * np.array([0.5, 4.0])) + np.log([0.5, 4.0])
    expected = -np.where(np.asarray(mask)[:, :, None], log_p, 0).sum((1, 2))
    np.testing.assert_allclose(run(grid, z, x, mask, method="nats"), expected, rtol=1e-4)
    one = run(grid, jnp.broadcast_to(z[None], (500, 2, 3)), jax.random.key(0), method="impute")
    np.testing.assert_allclose(one.mean, made, rtol=1e-5)
    np.testing.assert_allclose(one.deviation, np.broadcast_to([0.15, 1.2], (2, 4, 2)), rtol=1e-4)
    np.testing.assert_allclose(one.draws.std(0).mean((0, 1)), [0.15, 1.2], rtol=0.05)
    grid.log_deviation[...] = jnp.float32(-9)
    grid.settle()
    assert grid.log_deviation[...] == -6


def test_pictures_and_waves_have_views():
    picture = GridLikelihood(3, (4, 4), 3, (4, 4), 8, view="picture", rngs=nnx.Rngs(0))
    np.testing.assert_allclose(picture.numbers(jnp.full((1, 4, 4, 3), 255, jnp.uint8)), np.ones((1, 4, 4, 3)))
    assert np.abs(run(picture, jnp.full((1, 3), 1e4), method="generate")).max() == 1
    sound = GridLikelihood(3, (8, 16), 1, (8, 16), 8, view="log_mel", rate=8000, hop=100, rngs=nnx.Rngs(0))
    wave = jax.random.normal(jax.random.key(0), (1, 800))
    heard = sound.numbers(jnp.where(jnp.arange(800) < 400, wave, jnp.nan), jnp.arange(800)[None] < 400)
    expected = log_mel(jnp.where(jnp.arange(800)[None] < 400, wave, 0), 8000, hop=100, bins=16)
    np.testing.assert_allclose(heard[..., 0], expected, rtol=1e-6)


def test_texts_are_as_likely_as_their_tokens_and_imputed_by_votes():
    words = TokenLikelihood(3, 7, 5, 8, heads=2, rngs=nnx.Rngs(0))
    z, text = jax.random.normal(jax.random.key(0), (2, 3)), jnp.array([[2, 3, 4, 1, 0], [5, 1, 0, 0, 0]])
    mask = jnp.arange(5)[None] < jnp.array([[4], [2]])
    log_p = np.asarray(jax.nn.log_softmax(words.decoder(text, words.context(z), mask)))
    expected = [-sum(float(log_p[i, j, text[i, j]]) for j in range(n)) for i, n in enumerate((4, 2))]
    np.testing.assert_allclose(run(words, z, text, mask, method="nats"), expected, rtol=1e-5)
    found = run(words, jnp.broadcast_to(z[None], (6, 2, 3)), jax.random.key(1), method="impute")
    votes = [np.bincount(column, minlength=7) for column in found.draws.reshape(6, 10).T]
    np.testing.assert_array_equal(found.mean.ravel(), np.argmax(votes, axis=1))
    np.testing.assert_allclose(found.deviation.ravel(), 1 - np.max(votes, axis=1) / 6, rtol=1e-6)


@pytest.mark.parametrize(("dials", "match"), [({"view": "mel"}, "plain, picture, log_mel"), ({"std": (1.0, 0.0)}, "std above 0")])
def test_what_is_no_likelihood_is_refused(dials, match):
    with pytest.raises(ValueError, match=match):
        GridLikelihood(3, (4,), 2, (4,), 8, **dials, rngs=nnx.Rngs(0))
