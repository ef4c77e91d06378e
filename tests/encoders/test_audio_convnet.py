"""Sound through a spectrogram: frames that do not fill a patch, loudness and place in time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.encoders import AudioConvNet


def pooled(encoder: AudioConvNet, x) -> np.ndarray:
    graph, state = nnx.split(encoder)
    return np.asarray(jax.jit(lambda state, x: nnx.merge(graph, state)(x).pooled)(state, jnp.asarray(x, jnp.float32)))


@pytest.mark.parametrize("samples", [1600, 1700, 2399])
def test_any_number_of_samples_makes_whole_patches(samples):
    encoder = AudioConvNet(samples, 8000, widths=(4, 6), rngs=nnx.Rngs(0))
    assert encoder.frames % 5 == 0 and encoder.frames - 5 < samples // 200 <= encoder.frames
    assert pooled(encoder, np.zeros((1, samples))).shape == (1, encoder.pooled_width)


def test_frames_past_the_end_are_silence():
    """1600 samples of silence are 8 frames, filled up to 10; 2000 samples are 10 frames of the same silence."""
    short, long = (AudioConvNet(n, 8000, widths=(4, 6), rngs=nnx.Rngs(0)) for n in (1600, 2000))
    np.testing.assert_allclose(pooled(short, np.zeros((1, 1600))), pooled(long, np.zeros((1, 2000))), atol=1e-5)


def test_the_time_of_a_sound_is_heard():
    encoder = AudioConvNet(8000, 8000, widths=(4, 6), rngs=nnx.Rngs(0))
    beep = np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
    early, late = np.zeros(8000), np.zeros(8000)
    early[400:1200], late[6400:7200] = beep, beep
    a, b, again = pooled(encoder, np.stack([early, late, early]))
    np.testing.assert_allclose(a, again, atol=1e-6)
    assert np.abs(a - b).max() > 0.1


def encoded(encoder: AudioConvNet, x, mask):
    graph, state = nnx.split(encoder)
    return jax.jit(lambda state, x, mask: nnx.merge(graph, state)(x, mask))(state, jnp.asarray(x, jnp.float32), mask)


def test_what_is_masked_is_not_heard_and_whole_sounds_are_as_without_a_mask():
    encoder = AudioConvNet(8000, 8000, widths=(4, 6), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    x = 0.3 * rng.normal(size=(3, 8000))
    mask = np.arange(8000)[None] < np.array([[3000], [8000], [0]])
    got = encoded(encoder, x, mask)
    for filled in (np.nan, 1.0, 0.0):
        np.testing.assert_array_equal(encoded(encoder, np.where(mask, x, filled), mask).pooled, got.pooled)
    np.testing.assert_allclose(got.pooled[1], pooled(encoder, x)[1], atol=1e-5)
    assert got.pooled[0].any() and not got.pooled[2].any(), "where nothing is heard, nothing counts"
    silent = pooled(encoder, np.where(mask, x, 0.0))
    assert np.abs(silent[0] - np.asarray(got.pooled[0])).max() > 0.1, "silence that is real is heard"


def test_the_mask_of_the_tokens_is_that_of_their_time():
    """A row of the last grid stands for 5 frames × 200 samples × 2: 2000 samples, in 8 bands of 8 halved to 4."""
    encoder = AudioConvNet(8000, 8000, widths=(4, 6), rngs=nnx.Rngs(0))
    mask = np.zeros((2, 8000), bool)
    mask[0, :2001], mask[1, 7999] = True, True
    got = encoded(encoder, np.ones((2, 8000)), mask)
    assert got.mask.reshape(2, 4, 4).all(2).tolist() == [[True, True, False, False], [False, False, False, True]]
    assert not np.asarray(got.tokens)[~np.asarray(got.mask)].any() and np.asarray(got.tokens)[np.asarray(got.mask)].any(-1).all()
