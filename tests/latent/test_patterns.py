"""Patterns carry 32 numbers, each value has variance 1, and a sound is what an ear would call four notes."""

import numpy as np
import pytest

from sensorium.latent import patterns
from sensorium.latent.copies import DIMENSIONS

MADE = {
    "image": (patterns.image, [(32, 32, 3), (8, 8, 1), (4, 6, 2), (20, 12, 3)]),
    "video": (patterns.video, [(8, 16, 16, 3), (4, 8, 6, 1)]),
    "sensor": (patterns.sensor, [(128, 6), (32, 1), (11, 3)]),
}
CASES = [(make, shape) for make, shapes in MADE.values() for shape in shapes]


@pytest.mark.parametrize(("make", "shape"), CASES, ids=lambda x: getattr(x, "__name__", str(x)))
def test_the_coordinates_can_be_read_back_and_every_value_has_variance_one(make, shape):
    matrix = make(shape)
    assert matrix.shape == (np.prod(shape), DIMENSIONS)
    w = np.random.default_rng(0).standard_normal(DIMENSIONS).astype(np.float32)
    np.testing.assert_allclose(np.linalg.lstsq(matrix, matrix @ w)[0], w, atol=1e-3)
    np.testing.assert_allclose(np.square(matrix).sum(1), 1, atol=1e-5)


def test_a_picture_is_smooth_and_coloured():
    matrix = patterns.image((32, 32, 3)).reshape(32, 32, 3, DIMENSIONS)
    assert np.abs(np.diff(matrix, axis=1)).max() < 0.2, "neighbours are alike"
    assert np.linalg.matrix_rank(matrix.mean((0, 1))) == 3 or np.ptp(matrix, axis=2).max() > 0.5, "channels differ"


def test_a_clip_moves():
    matrix = patterns.video((8, 16, 16, 3)).reshape(8, -1, DIMENSIONS)
    assert np.abs(np.diff(matrix, axis=0)).max((0, 1)).min() > 0.05, "every pattern drifts"


@pytest.mark.parametrize(("rate", "samples"), [(16000, 16000), (8000, 2000), (1000, 1000), (22050, 11025), (16000, 160)])
def test_a_sound_carries_the_coordinates(rate, samples):
    matrix = patterns.audio(rate, samples)
    w = np.random.default_rng(0).standard_normal(DIMENSIONS).astype(np.float32)
    np.testing.assert_allclose(np.linalg.lstsq(matrix, matrix @ w)[0], w, atol=1e-3)
    assert np.square(matrix).sum(1).mean() == pytest.approx(1, abs=1e-4)


def test_a_sound_is_four_notes_of_eight_partials_at_exact_frequencies():
    """The sample of number n lies at n / rate: the period of the first partial, 300 Hz, is exact to the last sample."""
    matrix = patterns.audio(16000, 16000).astype(np.float64)
    for column in range(DIMENSIONS):
        note, partial = divmod(column, 8)
        sound = matrix[:, column]
        assert np.abs(np.delete(sound.reshape(4, -1), note, axis=0)).max() == 0, "silent outside its quarter"
        spectrum = np.abs(np.fft.rfft(sound[note * 4000 : (note + 1) * 4000]))
        assert np.fft.rfftfreq(4000, 1 / 16000)[spectrum.argmax()] == 100 * patterns.PARTIALS[partial]
    crossings = np.flatnonzero(np.abs(np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)) < 1e-9)
    np.testing.assert_allclose(matrix[crossings, 0], 0, atol=1e-6)


def test_what_is_too_small_to_carry_32_numbers_is_an_error():
    for make, shape in ((patterns.image, (3, 3, 3)), (patterns.video, (2, 16, 16, 3)), (patterns.sensor, (10, 3))):
        with pytest.raises(ValueError, match="cannot carry a latent of 32 numbers"):
            make(shape)
    with pytest.raises(ValueError, match="a sound of 20 samples at 16000 Hz"):
        patterns.audio(16000, 20)
