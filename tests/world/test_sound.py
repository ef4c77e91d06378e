"""Sounds: equal one by one or together; pitch, loudness, time and pan say what they should."""

import numpy as np

from sensorium.world import scene, sound


def lone(shape=0, colour=0, texture=0, size=1, place=0, key=3) -> scene.Scenes:
    return scene.Scenes(*(np.array([[v, -1, -1]]) for v in (shape, colour, texture, size, place)), key=np.array([key], np.uint64))


def test_sounds_are_equal_one_by_one_and_together_and_mono_is_the_mean_of_stereo():
    scenes = scene.draw("train", np.arange(30))
    together = sound.mono(scenes)
    assert together.dtype == np.float32 and together.shape == (30, 16000)
    assert np.array_equal(together, np.concatenate([sound.mono(scenes[i : i + 1]) for i in range(30)]))
    stereo = sound.render(scenes)
    assert abs(stereo.mean(-1) - together).max() < 1e-6 and abs(stereo).max() < 1


def test_colour_is_the_pitch_of_a_circle():
    for colour in range(8):
        wave = sound.mono(lone(colour=colour, place=0))[0, : sound.NOTE]
        spectrum = abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 16))
        heard = np.fft.rfftfreq(1 << 16, 1 / sound.RATE)[spectrum.argmax()]
        assert abs(12 * np.log2(heard / sound.PITCHES[colour])) < 0.3  # semitones; notes are 3.5 apart


def test_place_is_time_and_pan_and_size_is_loudness():
    for place in range(9):
        stereo = sound.render(lone(place=place))[0]
        energy = (stereo**2).sum(-1)
        assert place * sound.SLOT <= (np.arange(16000) * energy).sum() / energy.sum() < (place + 1) * sound.SLOT
        left, right = (stereo**2).sum(0)
        assert np.sign(round(np.log(right / left), 1)) == place % 3 - 1
    loud, quiet = ((sound.mono(lone(size=size)) ** 2).sum() for size in (1, 0))
    assert 10 < loud / quiet < 20  # (0.2 / 0.05)² = 16, the same jitter of gain


def test_texture_is_articulation():
    def envelope(texture: int) -> np.ndarray:
        wave = sound.mono(lone(texture=texture, key=5))[0, : sound.SLOT]
        return np.sqrt((wave[: 1700 // 50 * 50].reshape(-1, 50) ** 2).mean(1))

    plain, striped, dotted = (envelope(t) > 0.5 * envelope(t).max() for t in range(3))
    assert plain.mean() > 0.85 and dotted.mean() < 0.45
    assert np.diff(striped.astype(int)).clip(0).sum() >= 2  # it comes back
