"""The sound of a video, in step with its frames; sounds in containers that hold nothing else; what is broken is told."""

from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from modalities.films import RATE, bursts, film, song
from scipy.signal import correlate

from sensorium.core.errors import BadFile
from sensorium.modalities import Audio, sound_track, video_file
from sensorium.modalities.sound_file import NoSound, duration, measure

FIELD = Audio(rate=16000, seconds=2.5)
FORMS = {
    "mp4 aac": ("mp4", "libx264", "aac"),
    "mov pcm": ("mov", "mpeg4", "pcm_s16le"),
    "mov alac": ("mov", "libx264", "alac"),
    "webm opus": ("webm", "libvpx", "libopus"),
    "mkv aac": ("matroska", "mpeg4", "aac"),
    "mkv flac": ("matroska", "libx264", "flac"),
}


def onset(arrays: dict[str, np.ndarray], rate: int = 16000) -> float:
    """The second in which a tone begins."""
    return float(np.flatnonzero(np.abs(arrays["audio"]) > 0.1)[0] / rate)


@pytest.mark.parametrize("name", FORMS)
def test_sound_is_in_step_with_the_frames(name):
    """Frames from `first` / 25 s on, sound from `late` s on: a tone 1 s into the sound."""
    form, pictures, codec = FORMS[name]
    for first, late in ((0, 0.0), (10, 0.0), (0, 0.3), (10, 0.3), (10, -0.2)):
        source = film(form, pictures, [first + i for i in range(75)], sound=codec, wave=bursts(3, [1.0]), late=late)
        arrays = FIELD.prepare(source)
        assert onset(arrays) == pytest.approx(1 + late - first / 25, abs=2e-3), (first, late)
        mask = arrays["audio/mask"]
        begin, end = np.flatnonzero(mask)[[0, -1]] / 16000
        assert begin == pytest.approx(max(0, late - first / 25), abs=0.03)
        assert end == pytest.approx(min(2.5, 3 + late - first / 25), abs=0.03)
        assert not arrays["audio"][~mask].any()


@pytest.mark.parametrize("name", ["mp4 aac", "mov pcm", "webm opus"])
def test_a_window_far_inside_is_that_of_the_whole_track(name):
    """A tone in every second, each of its own pitch."""
    form, pictures, codec = FORMS[name]
    wave = np.sum([bursts(20, [second + 0.5], 300 + 100 * second) for second in range(20)], axis=0)
    source = film(form, pictures, range(500), sound=codec, wave=wave, g="25")
    whole = Audio(rate=RATE, seconds=20).prepare(source)["audio"]
    for draw in range(4):
        part = Audio(rate=RATE, seconds=2.0, window="random").prepare(source, draw=draw)["audio"]
        at = int(correlate(whole, part, "valid", "fft").argmax())
        assert np.abs(whole[at : at + len(part)] - part).max() < 0.03
    middle = Audio(rate=RATE, seconds=2.0, window="middle").prepare(source)
    assert onset(middle, RATE) == pytest.approx(0.5, abs=0.02) and middle["audio/mask"].all()


def test_a_gap_in_the_track_is_masked():
    """Sound until 1 s, and from 2 s on."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for second in (0, 2):
            frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 8192, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 8000 * second, Fraction(1, 8000)
            container.mux(stream.encode(frame))
    arrays = Audio(rate=8000, seconds=4.0).prepare(buffer.getvalue())
    expected = np.repeat([True, False, True, False], 8000)
    np.testing.assert_array_equal(arrays["audio/mask"], expected)
    np.testing.assert_allclose(arrays["audio"], 0.25 * expected, atol=1e-4)
    low = Audio(rate=4000, seconds=4.0).prepare(buffer.getvalue())
    np.testing.assert_array_equal(low["audio/mask"], expected[::2])
    assert not low["audio"][~expected[::2]].any(), "the filter rings into the gap"


def test_a_video_without_sound_is_told_apart(tmp_path):
    silent, loud = tmp_path / "silent.mp4", tmp_path / "loud.mp4"
    silent.write_bytes(film())
    loud.write_bytes(film(sound="aac", wave=bursts(2, [1.0])))
    assert video_file.has_sound(loud) and not video_file.has_sound(silent)
    with pytest.raises(NoSound, match=rf"^{silent}: there is no sound track in it"):
        FIELD.prepare(silent)
    late = film(sound="aac", wave=bursts(2, [1.0]), late=3.0)
    with pytest.raises(BadFile, match="no samples in this part of it"):
        FIELD.prepare(late)
    with pytest.raises(BadFile, match="not a video"):
        video_file.has_sound(b"no video at all")


@pytest.mark.parametrize(("form", "codec"), [("ipod", "aac"), ("adts", "aac"), ("ipod", "alac")])
def test_m4a_and_aac_are_sounds(form, codec, tmp_path):
    wave = bursts(3, [1.0])
    path = tmp_path / ("x.aac" if form == "adts" else "x.m4a")
    path.write_bytes(song(form, codec, wave))
    assert path.suffix in Audio.suffixes
    arrays = FIELD.prepare(path)
    slack = 0.025 if form == "adts" else 2e-3  # ADTS does not tell of the samples that the coder put in front
    assert onset(arrays) == pytest.approx(1.0, abs=slack) and arrays["audio/mask"].all()
    assert measure(path) == pytest.approx(3.0, abs=0.07) and duration(path) == pytest.approx(3.0, abs=0.07)
    middle = Audio(rate=16000, seconds=1.0, window="middle").prepare(path)
    assert onset(middle) == pytest.approx(0.0, abs=0.035)


@pytest.mark.parametrize(("form", "codec"), [("ipod", "aac"), ("adts", "aac")])
def test_sounds_that_are_cut_short_or_damaged_are_told(form, codec):
    whole = song(form, codec, bursts(2, [i / 10 for i in range(20)]))
    for share in (0.1, 0.5, 0.9, 0.999):
        with pytest.raises(BadFile, match=r"^a sound file of \d+ bytes: "):
            measure(whole[: int(share * len(whole))])
    rng = np.random.default_rng(0)
    for _ in range(30):
        broken = np.frombuffer(whole, np.uint8).copy()
        at = rng.integers(0, len(broken), 10)
        broken[at] = rng.integers(0, 256, len(at))
        with suppress(BadFile):
            assert np.isfinite(FIELD.prepare(broken.tobytes())["audio"]).all()


@pytest.mark.parametrize("name", ["mp4 aac", "webm opus", "mkv flac"])
def test_damaged_videos_give_a_sound_or_are_told(name):
    form, pictures, codec = FORMS[name]
    whole = film(form, pictures, range(30), sound=codec, wave=bursts(1.2, [0.2, 0.7]))
    rng = np.random.default_rng(1)
    for _ in range(40):
        broken = np.frombuffer(whole, np.uint8).copy()
        at = rng.integers(0, len(broken), rng.integers(1, 30))
        broken[at] = rng.integers(0, 256, len(at))
        try:
            arrays = Audio(window="middle", seconds=0.5).prepare(broken.tobytes())
            assert np.isfinite(arrays["audio"]).all() and arrays["audio/mask"].any()
        except BadFile as error:
            assert str(error).startswith(f"a sound file of {len(whole)} bytes: ")


def test_limits_are_looked_at_before_decoding(monkeypatch):
    source = song("ipod", "aac", bursts(1, [0.2]))
    for limit, told in (
        ("rate=44100", "1 channels at 48000 Hz: at most 64 at 44100"),
        ("frames=10", "more than 10 frames of AAC"),
    ):
        monkeypatch.setenv("SENSORIUM_LIMITS", limit)
        with pytest.raises(BadFile, match=told):
            FIELD.prepare(song("adts", "aac", bursts(1, [0.2])) if "frames" in limit else source)
    monkeypatch.delenv("SENSORIUM_LIMITS")
    monkeypatch.setattr(sound_track, "CODECS", ("opus",))
    with pytest.raises(BadFile, match="the codec of its sound is aac; expected PCM or one of opus"):
        FIELD.prepare(source)
