"""Sounds as magnitudes and back: how much of a sound is left, of the world's and of others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.decoders.vocoder import Spectrum, griffin_lim
from sensorium.nn.short_time import ShortTime
from sensorium.world import judge, judge_sound, scene, sound

FORM = Spectrum()
ROWS = 40
INTO, SPECTRA = jax.jit(FORM.into), jax.jit(FORM.short_time.spectra)


def others():
    """A chirp from 100 Hz to 6 kHz, a voice-like sound (a gliding pulse train through three resonances) and noise, 1 s each."""
    at = np.arange(16000) / 16000
    chirp = 0.4 * np.sin(2 * np.pi * (100 * at + 0.5 * 5900 * at**2))
    phase = 2 * np.pi * np.cumsum(110 + 40 * np.sin(2 * np.pi * 1.5 * at)) / 16000
    pulses = np.sum([np.cos(k * phase) / k**0.5 for k in range(1, 30)], axis=0)
    gains = 1 / (1 + ((np.fft.rfftfreq(16000, 1 / 16000)[:, None] - [500, 1500, 2500]) / 120) ** 2).sum(1) ** -1
    voice = np.fft.irfft(np.fft.rfft(pulses) * gains) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))
    noise = np.random.default_rng(0).normal(size=16000)
    return np.stack([chirp, 0.3 * voice / abs(voice).max(), 0.1 * noise]).astype(np.float32)


@pytest.fixture(scope="module")
def there_and_back():
    scenes = scene.draw("validation", np.arange(ROWS), seed=5)
    waves = np.concatenate([sound.mono(scenes), others()])
    form = INTO(jnp.asarray(waves))
    return scenes, waves, np.asarray(form), np.asarray(jax.jit(FORM.back)(form))


def convergence(waves, again):
    """How far the magnitudes are off, in decibels below what they are."""
    a, b = (np.abs(SPECTRA(jnp.asarray(x))) for x in (waves, again))
    return 10 * np.log10(((a - b) ** 2).sum((1, 2)) / (a**2).sum((1, 2)))


def test_the_form_is_within_one_and_grows_with_the_logarithm(there_and_back):
    _, waves, form, _ = there_and_back
    assert form.shape == (len(waves), 125, 257) and form.min() >= 0 and form.max() <= 1
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    peaks = np.asarray(INTO(jnp.asarray(np.stack([tone, tone / 4, tone / 16, 0 * tone]), jnp.float32)))[:, 60, 32]
    assert peaks[3] == 0
    np.testing.assert_allclose(np.diff(peaks[:3]), -np.log(4) / np.log1p(2000), rtol=0.05)


def test_scenes_are_heard_after_the_way_there_and_back(there_and_back):
    scenes, waves, _, again = there_and_back
    found = judge.of_sounds(again[:ROWS])
    assert np.mean(found.id == scenes.id) >= 0.99
    heard = judge_sound.hear(again[:ROWS])
    assert heard.likeness[heard.note >= 0].mean() > 0.99
    assert convergence(waves[:ROWS], again[:ROWS]).mean() < -28


def test_other_sounds_and_their_energy_come_back(there_and_back):
    _, waves, _, again = there_and_back
    off = convergence(waves[ROWS:], again[ROWS:])
    assert (off < [-16.5, -17.5, -16]).all(), off
    np.testing.assert_allclose((again**2).sum(1) / (waves**2).sum(1), 1.0, atol=0.04)


def test_turns_bring_the_magnitudes_nearer(there_and_back):
    _, waves, _, again = there_and_back
    sizes = jnp.abs(SPECTRA(jnp.asarray(waves)))
    few = np.asarray(jax.jit(griffin_lim, static_argnums=(1, 2))(sizes, ShortTime(), 3))
    assert (convergence(waves, few) > convergence(waves, again) + 1.5).all()


def test_silence_is_silent_and_bad_dials_are_told():
    quiet = jax.jit(FORM.back)(jnp.zeros((1, 5, 257)))
    np.testing.assert_array_equal(quiet, 0.0)
    with pytest.raises(ValueError, match="quiet=2"):
        Spectrum(quiet=2.0)
    with pytest.raises(ValueError, match="momentum=1"):
        griffin_lim(jnp.ones((1, 5, 257)), ShortTime(), momentum=1.0)
