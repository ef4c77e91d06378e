"""The log-mel spectrogram against a discrete Fourier transform written out, and against what an ear would say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.nn.spectrogram import log_mel, mel_filters

heard = jax.jit(log_mel, static_argnums=(1, 2, 3, 4))
RATE, WINDOW, HOP, BINS = 8000, 64, 40, 12


@pytest.fixture
def wave() -> np.ndarray:
    return (0.3 * np.random.default_rng(0).normal(size=(2, 230))).astype(np.float32)


def reference(wave: np.ndarray) -> np.ndarray:
    """Frame by frame, in float64: frame t is centred on sample t · hop."""
    n = np.arange(WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    fourier = np.exp(-2j * np.pi * np.outer(n, np.arange(WINDOW // 2 + 1)) / WINDOW)
    filters = mel_filters(RATE, WINDOW, BINS).astype(np.float64)
    out = np.zeros((len(wave), wave.shape[1] // HOP, BINS))
    for row, t in np.ndindex(out.shape[:2]):
        at = t * HOP - WINDOW // 2 + n
        inside = (at >= 0) & (at < wave.shape[1])
        frame = np.where(inside, wave[row, np.where(inside, at, 0)], 0.0).astype(np.float64)
        power = np.abs(hann * frame @ fourier) ** 2
        out[row, t] = (np.log10(np.maximum(power @ filters, 1e-7)) + 2) / 2.5
    return out


def test_it_is_the_transform_written_out(wave):
    np.testing.assert_allclose(heard(jnp.asarray(wave), RATE, WINDOW, HOP, BINS), reference(wave), atol=1e-4)


def test_silence_is_the_floor_and_has_a_finite_gradient():
    got, back = jax.vjp(lambda wave: log_mel(wave, RATE, WINDOW, HOP, BINS), jnp.zeros((1, 400)))
    np.testing.assert_allclose(got, (-7 + 2) / 2.5, atol=1e-6)
    assert jnp.isfinite(back(jnp.ones_like(got))[0]).all()


@pytest.mark.parametrize("frequency", [300, 1000, 3000])
def test_a_tone_is_loudest_in_the_band_that_holds_it(frequency):
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(8000) / RATE)
    mel = np.asarray(heard(jnp.asarray(wave[None], jnp.float32), RATE, 400, 160, 32))[0, 5:-5]
    filters = mel_filters(RATE, 400, 32)
    right = filters[round(frequency / (RATE / 400))].argmax()
    assert (mel.argmax(1) == right).all()
    louder = np.asarray(heard(jnp.asarray(0.1 * wave[None], jnp.float32), RATE, 400, 160, 32))[0, 5:-5]
    np.testing.assert_allclose(mel[:, right] - louder[:, right], 2 / 2.5, atol=1e-3)  # 20 dB


@pytest.mark.parametrize(("rate", "window", "bins"), [(16000, 400, 64), (8000, 400, 64), (8000, 64, 40), (44100, 256, 16)])
def test_each_filter_sums_to_one_and_they_rise(rate, window, bins):
    filters = mel_filters(rate, window, bins)
    assert filters.shape == (window // 2 + 1, bins) and filters.dtype == np.float32
    np.testing.assert_allclose(filters.sum(0), 1, atol=1e-6)
    assert (filters >= 0).all()
    centres = (np.arange(window // 2 + 1)[:, None] * filters).sum(0)
    assert (np.diff(centres) >= -1e-6).all()
