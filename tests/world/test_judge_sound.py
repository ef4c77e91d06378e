"""The judge reads every factor back from sounds, of all splits, whatever their phases are."""

import numpy as np
import pytest

from sensorium.world import caption, judge, judge_sound, scene, sound

FACTORS = ("shape", "colour", "texture", "size", "place")


@pytest.mark.parametrize("split", ["validation", "compositional"])
def test_scenes_are_read_back_from_their_sounds(split):
    scenes = scene.draw(split, np.arange(400), seed=9)
    found = judge.of_sounds(sound.mono(scenes))
    assert np.mean(found.id == scenes.id) >= 0.995
    assert all(np.mean(getattr(found, name) == getattr(scenes, name)) >= 0.995 for name in FACTORS)


def test_phases_are_not_heard():
    scenes = scene.draw("validation", np.arange(100), seed=3)
    spectrum = np.fft.rfft(sound.mono(scenes))
    turned = np.fft.irfft(spectrum * np.exp(1j * np.linspace(0.3, 2.9, spectrum.shape[1]))).astype(np.float32)
    assert np.mean(judge.of_sounds(turned).id == scenes.id) >= 0.98
    assert np.mean(judge.of_sounds(-sound.mono(scenes)).id == scenes.id) >= 0.99


def test_what_is_heard_of_a_note_and_of_noise():
    scenes = scene.draw("validation", np.arange(60), seed=4)
    clean, noise = judge_sound.hear(sound.mono(scenes)), np.random.default_rng(0).normal(size=(2, 16000)).astype(np.float32)
    sounding = clean.note >= 0
    assert sounding.sum() == scenes.count.sum() and clean.likeness[sounding].min() > 0.95
    assert judge_sound.hear(0.05 * noise).likeness.max() < 0.5, "noise is no note, and the likeness says so"


def test_silence_holds_nothing_and_a_short_sound_is_told():
    assert judge.of_sounds(np.zeros((1, 16000), np.float32)).count[0] == 0
    with pytest.raises(ValueError, match="expected rows of 16000"):
        judge.of_sounds(np.zeros((1, 8000), np.float32))


def test_objects_and_scenes_are_inverses():
    scenes = scene.draw("train", np.arange(50), seed=2)
    again = caption.scenes([list(reversed(things)) for things in caption.objects(scenes)])
    assert all(np.array_equal(getattr(again, name), getattr(scenes, name)) for name in FACTORS)
