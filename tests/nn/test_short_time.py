"""Short-time spectra: what a bin is, what a wave is made of, and that nothing is lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.nn.short_time import ShortTime


def noise(samples, rows=2):
    return 0.3 * jax.random.normal(jax.random.key(0), (rows, samples))


@pytest.mark.parametrize(("window", "hop"), [(60, 15)])
def test_a_wave_comes_back(window, hop):
    wave, short = noise(hop * 11), ShortTime(window, hop)
    spectra, again = jax.jit(lambda wave: (short.spectra(wave), short.wave(short.spectra(wave))))(wave)
    assert spectra.shape == (2, 11, short.bins)
    np.testing.assert_allclose(again, wave, atol=2e-6)


def test_a_frame_is_the_spectrum_of_what_is_around_its_hop():
    wave, short = noise(32 * 9, rows=1), ShortTime(128, 32)
    frame = np.asarray(wave)[0, 4 * 32 - 48 : 4 * 32 + 80]  # the fourth hop, 48 samples before and after
    hann = np.sin(np.pi * (np.arange(128) + 0.5) / 128) ** 2
    np.testing.assert_allclose(jax.jit(short.spectra)(wave)[0, 4], np.fft.rfft(frame * hann) / hann.sum(), atol=1e-6)


def test_a_sine_is_half_its_amplitude_and_nothing_within_one_is_more():
    at = np.arange(16000) / 16000
    sine, loud = 0.6 * np.sin(2 * np.pi * 1000 * at), np.ones(16000)
    sizes = np.abs(jax.jit(ShortTime().spectra)(jnp.asarray(np.stack([sine, loud]), jnp.float32)))
    np.testing.assert_allclose(sizes[0, 10:-10, 32], 0.3, rtol=1e-3)
    assert sizes.max() <= 1 + 1e-6


def test_the_wave_of_spectra_that_no_wave_has_is_the_nearest_one():
    short = ShortTime(64, 16)
    wanted = jax.jit(short.spectra)(noise(160, rows=1)) * np.array([1, 2] * 5, np.complex64)[None, :, None]

    def off(step, nearest):
        error = short.spectra(nearest + step * noise(160, rows=1)) - wanted
        error = jnp.square(error.real) + jnp.square(error.imag)
        return error.sum() + error[..., 1:-1].sum()  # and the other half of each spectrum

    slope = jax.jit(jax.grad(off))
    nearest = jax.jit(short.wave)(wanted)
    assert abs(slope(0.0, nearest)) < 1e-3 * slope(0.1, nearest)


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="whole number of hops"):
        ShortTime(512, 100)
    with pytest.raises(ValueError, match="a multiple of 128"):
        ShortTime().spectra(noise(1000))
