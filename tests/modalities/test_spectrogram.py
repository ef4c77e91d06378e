"""Sounds as CLAP's published models hear them: which part is kept, how it is filled up, and what does not change it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from sensorium.core.errors import BadFile
from sensorium.modalities import Audio, BadRaw
from sensorium.modalities.audio import wav_bytes
from sensorium.modalities.spectrogram import Spectrogram, squeezed, starts
from sensorium.nn.log_mel import LogMel

FRONT = LogMel(8000, 256, 320, 12, 50, 3500)
ONE = Spectrogram("audio", FRONT, 1)
FOUR = Spectrogram("sound", FRONT, 1, fused=True)
WAVE = (0.4 * np.sin(np.arange(30000) ** 1.4 / 90)).astype(np.float32)


def mel(wave) -> np.ndarray:
    return FRONT.exact(np.asarray(wave, np.float32)[None])[0]


def test_a_short_sound_is_filled_up_as_it_is_told():
    fills = {"repeatpad": np.r_[WAVE[:3001], WAVE[:3001]], "repeat": np.tile(WAVE[:3001], 3)[:8000], "pad": WAVE[:3001]}
    for fill, wave in fills.items():
        got = Spectrogram("audio", FRONT, 1, fill).prepare((WAVE[:3001], 8000))
        assert got.keys() == {"audio"} and got["audio"].dtype == np.float32
        np.testing.assert_array_equal(got["audio"], mel(np.pad(wave, (0, 8000 - len(wave))))[None])


def test_of_a_long_sound_the_middle_is_kept():
    np.testing.assert_array_equal(ONE.prepare((WAVE[:20001], 8000))["audio"][0], mel(WAVE[6001:14001]))


def test_fused_the_whole_is_squeezed_and_the_middle_of_each_third_is_beside_it():
    got = FOUR.prepare((WAVE, 8000))
    whole = mel(WAVE)
    assert len(whole) == 94 and FOUR.frames == 26 and got["sound/mask"].all()
    assert starts(94, 26) == [11, 34, 57] and starts(27, 26) == [0, 1, 0]
    for piece, start in zip(got["sound"][1:], starts(94, 26), strict=True):
        np.testing.assert_array_equal(piece, whole[start : start + 26])
    at = (np.arange(26) + 0.5) * 94 / 26 - 0.5
    expected = np.stack([np.interp(at, np.arange(94), band) for band in whole.T], axis=1)
    np.testing.assert_allclose(got["sound"][0], expected, atol=1e-3)
    before, share = squeezed(94, 26)
    np.testing.assert_allclose(before + share, at, atol=1e-5)


@pytest.mark.parametrize("samples", [5000, 8000, 8100])
def test_fused_a_sound_that_just_fits_is_four_times_the_same_and_counts_once(samples):
    got = FOUR.prepare((WAVE[:samples], 8000))
    assert got["sound/mask"].tolist() == [True, False, False, False]
    assert (got["sound"] == got["sound"][0]).all() and got["sound"].shape == (4, 26, 12)
    if samples >= 8000:
        np.testing.assert_array_equal(got["sound"][0], mel(WAVE[:samples]))


def test_channels_rates_and_files_are_those_of_audio(tmp_path):
    """Of whatever rate, what is heard is what soxr makes of it, which `Audio` gives too."""
    sound = np.stack([WAVE[:2000], -0.5 * WAVE[2000:4000]], axis=1)
    heard = Audio("audio", 8000, 1).prepare((sound, 5512))
    n = int(heard["audio/mask"].sum())
    assert n == -(-2000 * 8000 // 5512)
    resampled = heard["audio"][:n]
    np.testing.assert_allclose(ONE.prepare((sound, 5512))["audio"], ONE.prepare((resampled, 8000))["audio"], atol=1e-4)
    path = Path(tmp_path / "sound.wav")
    path.write_bytes(wav_bytes(sound, 8000))
    rounded = np.round(sound * 32768).astype(np.int16)
    for raw in (path, path.read_bytes(), (rounded, 8000)):
        np.testing.assert_array_equal(FOUR.prepare(raw)["sound"], FOUR.prepare((rounded.mean(1) / 32768, 8000))["sound"])
    assert ONE.measure(path) == (0.25, 1)


def test_silence_and_one_sample_are_finite_and_blank_has_their_shapes():
    for field in (ONE, FOUR):
        for wave in (np.zeros(900, np.float32), WAVE[1:2]):
            got = field.prepare((wave, 8000))
            assert np.isfinite(got[field.name]).all()
            blank = field.blank()
            assert {key: (x.shape, x.dtype) for key, x in blank.items()} == {key: (x.shape, x.dtype) for key, x in got.items()}
    np.testing.assert_allclose(ONE.prepare((np.zeros(900, np.float32), 8000))["audio"], -100)
    assert ONE.show(ONE.blank()["audio"]).shape == (12, 26)


def test_what_cannot_be_is_told(monkeypatch, tmp_path):
    with pytest.raises(BadRaw, match=r"'wrap'.*repeatpad, repeat, pad"):
        Spectrogram(fill="wrap")
    with pytest.raises(BadRaw, match=r"80 samples.*window of 256"):
        Spectrogram("audio", FRONT, 0.01)
    with pytest.raises(BadRaw, match=r"a pair \(array, rate in Hz\)"):
        ONE.prepare(["silence"])
    monkeypatch.setenv("SENSORIUM_LIMITS", "sound_numbers=20000")
    (tmp_path / "long.wav").write_bytes(wav_bytes(WAVE, 8000))
    with pytest.raises(BadFile, match=r"long\.wav: 30000 samples at 8000 Hz are more than the limit of 20000.*cut the sound"):
        FOUR.prepare(tmp_path / "long.wav")
    assert ONE.prepare(tmp_path / "long.wav")["audio"].shape == (1, 26, 12), "only the middle of it is read"


def test_it_is_made_again_of_its_json():
    assert Spectrogram(**asdict(FOUR)) == FOUR
