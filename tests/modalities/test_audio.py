import json
from dataclasses import asdict
from io import BytesIO

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from modalities.samples import sine, sound

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import MODALITIES, Audio, BadRaw
from sensorium.modalities.audio import wav_bytes

FIELD = Audio(rate=16000, seconds=0.5)
FORMATS = {"wav": {}, "flac": {}, "ogg": {}, "mp3": {}}


def loudest(x: np.ndarray, rate: int) -> float:
    """The frequency in Hz that is strongest in a sound."""
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    return float(np.argmax(spectrum)) * rate / len(x)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_sine_keeps_its_frequency_and_level_in_every_format_and_rate(tmp_path, suffix, rate):
    path = sound(tmp_path / f"x.{suffix}", np.stack([sine(440, rate), sine(440, rate, amplitude=0.3)], 1), rate)
    x = FIELD.prepare(path)["audio"]
    assert abs(loudest(x, 16000) - 440) <= 2
    middle = x[2000:-2000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.06)  # 0.4: the mean of the two channels
    assert np.array_equal(x, FIELD.prepare(path.read_bytes())["audio"])
    assert np.array_equal(x, FIELD.prepare(str(path))["audio"])


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_the_whole_of_a_sound_goes_on_where_what_is_kept_ends(tmp_path, suffix, rate):
    path = sound(tmp_path / f"x.{suffix}", sine(440, rate, seconds=1.3), rate)
    whole, kept = FIELD.whole(path), FIELD.prepare(path)["audio"]
    assert len(whole) == pytest.approx(1.3 * 16000, abs=2400 if suffix == "mp3" else 1)  # MP3 adds silence of its own
    np.testing.assert_allclose(whole[: len(kept)], kept, atol=1e-6)
    assert abs(loudest(whole[-4800:-1600], 16000) - 440) <= 5
    assert len(FIELD.whole(sound(tmp_path / "short.wav", sine(440, rate, seconds=0.2), rate))) == 3200


@pytest.mark.parametrize("rate", [11025, 16000, 44100])
def test_the_window_equals_that_of_the_whole_sound_resampled(tmp_path, rate):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, rate * 3).astype(np.float32)
    path = sound(tmp_path / "x.wav", noise, rate, subtype="FLOAT")
    whole = soxr.resample(noise, rate, 16000, quality="HQ")[:8000]
    assert np.allclose(FIELD.prepare(path)["audio"], whole, atol=1e-5)
    assert np.allclose(FIELD.prepare((noise, rate))["audio"], whole, atol=1e-5)


def test_tones_above_the_new_band_are_gone():
    x = FIELD.prepare((sine(11_000, 44100), 44100))["audio"]
    assert np.abs(x[500:-500]).max() < 1e-3


def test_shorter_sounds_end_in_silence():
    x = FIELD.prepare((sine(440, 16000, 0.1), 16000))["audio"]
    assert np.array_equal(x[:1600], sine(440, 16000, 0.1)) and not x[1600:].any()


@given(st.integers(1, 3000), st.sampled_from([8000, 16000, 44100]), st.integers(1, 3))
def test_shape_dtype_and_range_hold_for_any_sound(n, rate, channels):
    x = np.random.default_rng(n).uniform(-1.5, 1.5, (n, channels)).astype(np.float32)
    got, blank = FIELD.prepare((x, rate))["audio"], FIELD.blank()["audio"]
    assert got.shape == blank.shape == (8000,) and got.dtype == blank.dtype == np.float32
    assert np.abs(got).max() <= 1


def test_integers_are_scaled_by_their_full_scale():
    wave = sine(440, 16000, 0.5)
    for dtype, scale in ((np.int16, 2**15), (np.int32, 2**31)):
        x = np.round(wave.astype(np.float64) * scale).astype(dtype)
        assert np.allclose(FIELD.prepare((x, 16000))["audio"], wave, atol=2e-5)
    bytes_ = np.round(wave * 128 + 128).astype(np.uint8)
    assert np.allclose(FIELD.prepare((bytes_, 16000))["audio"], wave, atol=5e-3)


def test_show_gives_back_what_prepare_takes():
    x = FIELD.prepare((sine(440, 16000), 16000))["audio"]
    assert np.array_equal(FIELD.prepare(FIELD.show(x))["audio"], x)


@given(st.integers(1, 500), st.sampled_from([1, 2]))
def test_wav_bytes_are_read_back_within_half_a_step(n, channels):
    x = np.random.default_rng(n).uniform(-1.2, 1.2, (n, channels)).astype(np.float32)
    got, rate = soundfile.read(BytesIO(wav_bytes(x, 22050)), always_2d=True)
    assert rate == 22050 and got.shape == x.shape
    assert np.abs(got - np.clip(x, -1, 32767 / 32768)).max() <= 0.5 / 32768 + 1e-9
    one = soundfile.read(BytesIO(wav_bytes(x[:, 0], 8000)))[0]
    assert np.array_equal(one, got[:, 0])


def test_a_bare_array_is_refused_with_what_to_give():
    with pytest.raises(BadRaw, match=r"pair \(array, rate in Hz\)"):
        FIELD.prepare(np.zeros(16000, np.float32))
    with pytest.raises(BadRaw, match=r"pair \(array, rate in Hz\)"):
        FIELD.prepare(np.zeros((2, 16000), np.float32))


@pytest.mark.parametrize(
    "raw, cause",
    [
        ((np.zeros(0, np.float32), 16000), "empty"),
        ((np.array([0, np.nan, np.inf], np.float32), 16000), "2 of its samples are NaN or infinite"),
        ((np.full(99, 20000.0), 16000), "samples up to 20000"),
        ((np.zeros((2, 16000)), 16000), "transpose"),
        ((np.zeros(9), 0), "a rate of 0"),
        ((np.zeros(9), 44100.5), "a rate of 44100.5"),
        ((np.zeros(9, bool), 16000), "bool"),
        ((np.zeros((2, 2, 2)), 16000), "pair"),
    ],
)
def test_what_is_no_sound_is_refused(raw, cause):
    with pytest.raises(BadRaw, match=cause):
        FIELD.prepare(raw)


def test_a_file_with_nan_is_told(tmp_path):
    path = sound(tmp_path / "x.wav", np.full(99, np.nan, np.float32), 16000, subtype="FLOAT")
    with pytest.raises(BadFile, match=r"x\.wav: 99 of its samples are NaN"):
        FIELD.prepare(path)


def test_measure_tells_the_whole_and_the_window(tmp_path):
    path = sound(tmp_path / "x.flac", sine(440, 22050, 2.5), 22050)
    assert FIELD.measure(path) == (pytest.approx(2.5), 0.5)
    assert FIELD.measure((np.zeros(4000), 16000)) == (0.25, 0.5)


def test_it_is_a_modality_that_json_can_hold():
    assert isinstance(FIELD, Modality) and FIELD.samples == 8000
    assert MODALITIES["audio"](**json.loads(json.dumps(asdict(FIELD)))) == FIELD
    assert Audio(seconds=2).samples == 32000
    for rate, seconds in ((16000, 0), (0, 1), (16000, float("inf")), (16000, float("nan")), (1, 0.1)):
        with pytest.raises(BadRaw, match="above 0"):
            Audio(rate=rate, seconds=seconds)
