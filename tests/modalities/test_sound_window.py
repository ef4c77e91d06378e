"""Which part of a sound is kept: start, middle or random; equal to that part of the whole sound; masks; bounded memory."""

import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from modalities.samples import sine, sound

from sensorium.core.errors import BadFile
from sensorium.modalities import Audio, BadRaw, video_clock

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 44100 * 4).astype(np.float32)


def place(window: np.ndarray, whole: np.ndarray) -> int:
    """Where a part stands in the whole, found by its first samples."""
    near = [i for i in range(len(whole) - len(window) + 1) if abs(whole[i] - window[0]) < 1e-4]
    return next(i for i in near if np.allclose(whole[i : i + len(window)], window, atol=1e-4))


@pytest.mark.parametrize("rate", [16000, 44100, 11025, 8000])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_any_window_equals_that_of_the_whole_sound_resampled(tmp_path, rate, suffix):
    noise = NOISE[: 3 * rate]
    path = sound(tmp_path / f"x.{suffix}", noise, rate, subtype="PCM_24")
    whole = noise if rate == 16000 else soxr.resample(noise, rate, 16000, quality="HQ")
    for draw in range(3):
        field = Audio(seconds=0.5, window="random")
        part = field.prepare(path, draw=draw)["audio"]
        at = place(part, whole)
        assert 0 <= at <= len(whole) - 8000
        field = Audio(seconds=0.5, window="middle")
        assert abs(place(field.prepare(path)["audio"], whole) - (len(whole) - 8000) / 2) <= 640
    np.testing.assert_allclose(Audio(seconds=0.5).prepare(path)["audio"], whole[:8000], atol=1e-4)


def test_random_windows_go_from_the_first_to_the_last_and_depend_on_name_and_draw(tmp_path):
    ramp = np.linspace(0, 1, 16000).astype(np.float32)
    path, other = (sound(tmp_path / name, ramp, 16000, subtype="FLOAT") for name in ("a.wav", "b.wav"))
    field = Audio(seconds=0.25, window="random")
    starts = np.array([field.prepare(path, draw=draw)["audio"][0] for draw in range(300)])
    assert starts.min() < 0.02 and starts.max() > 0.73 and starts.max() <= 0.7501
    assert np.abs(np.histogram(starts, 3, (0, 0.75))[0] - 100).max() < 30
    again = field.prepare(Path(str(path)), draw=7)["audio"]
    np.testing.assert_array_equal(again, field.prepare(str(path), draw=7)["audio"])
    assert not np.array_equal(again, field.prepare(other, draw=7)["audio"])
    assert field.draws and not Audio().draws and not Audio(window="middle").draws
    with pytest.raises(BadRaw, match="start, middle, random"):
        Audio(window="end")


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("window", ["start", "middle", "random"])
def test_the_mask_is_true_where_the_sound_is(rate, window):
    field = Audio(seconds=0.5, window=window)
    short = field.prepare((sine(440, rate, 0.2), rate))
    assert short["audio/mask"].tolist() == [True] * 3200 + [False] * 4800 and not short["audio"][3200:].any()
    assert field.prepare((sine(440, rate, 0.5), rate))["audio/mask"].all()
    assert field.prepare((sine(440, rate, 2.0), rate))["audio/mask"].all()
    blank = field.blank()
    assert not blank["audio/mask"].any()
    assert {key: (x.shape, x.dtype) for key, x in blank.items()} == {key: (x.shape, x.dtype) for key, x in short.items()}


def test_a_sound_of_many_blocks_has_no_holes():
    for window in ("start", "middle", "random"):
        arrays = Audio(seconds=15, window=window).prepare((np.tile(NOISE, 5), 44100))
        assert arrays["audio/mask"].all() and np.abs(arrays["audio"].reshape(-1, 160)).max(1).min() > 0.1


def test_silence_that_is_real_is_not_masked():
    assert Audio(seconds=0.1).prepare((np.zeros(1600, np.float32), 16000))["audio/mask"].all()


def test_a_long_window_takes_little_more_memory_than_it_has_numbers():
    """10 minutes in stereo at 22050 Hz are 106 MB of f32; what comes out are 19 MB, and 5 MB of mask."""
    buffer = BytesIO()
    with soundfile.SoundFile(buffer, "w", 22050, 2, "PCM_16", format="FLAC") as file:
        for _ in range(60):
            file.write(np.zeros((220500, 2), np.int16))
    data, field = buffer.getvalue(), Audio(rate=8000, seconds=600)
    field.prepare((np.zeros(99, np.float32), 22050))  # soxr is imported
    tracemalloc.start()
    arrays = field.prepare(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert arrays["audio/mask"].all() and peak < 60e6


def test_windows_and_files_beyond_the_limits_are_refused(monkeypatch):
    data = BytesIO()
    soundfile.write(data, np.zeros((8000, 3), np.int16), 8000, format="WAV")
    monkeypatch.setenv("SENSORIUM_LIMITS", "sound_numbers=16000 channels=2")
    with pytest.raises(BadRaw, match="16001 samples are more than the limit of 16000"):
        Audio(rate=16001)
    with pytest.raises(BadFile, match="3 channels at 8000 Hz: at most 2 at 1000000"):
        Audio().prepare(data.getvalue())
    monkeypatch.setenv("SENSORIUM_LIMITS", "seconds=2")
    ticks = iter(range(10**6))
    monkeypatch.setattr(video_clock, "monotonic", lambda: next(ticks) * 1.0)
    long = BytesIO()
    soundfile.write(long, np.zeros(2**21, np.int16), 8000, format="FLAC")
    with pytest.raises(BadFile, match="it took more than 2 s to decode"):
        Audio(seconds=200).prepare(long.getvalue())
