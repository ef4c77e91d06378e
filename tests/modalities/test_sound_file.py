import struct
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
import soundfile
from modalities.samples import sine, sound

from sensorium.core.errors import BadFile
from sensorium.modalities.sound_file import duration, measure, opened

WAVE = sine(440, 22050, 2.0)


def read(source, seconds: float) -> tuple[np.ndarray, int]:
    """The first seconds, block by block."""
    with opened(source) as sound:
        blocks = [block for block, there in sound.blocks(0, int(np.ceil(seconds * sound.rate))) if there]
        return np.concatenate([np.zeros((0, sound.channels), np.float32), *blocks]), sound.rate


def blocks_of(source) -> list[np.ndarray]:
    with opened(source) as sound:
        return [block for block, _ in sound.blocks(0, 10**12)]


def written(form: str, samples: np.ndarray = WAVE, rate: int = 22050, **options) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "WAVEX", "RF64"])
def test_only_what_is_asked_for_is_read(form):
    data = written(form)
    samples, rate = read(data, 0.25)
    assert rate == 22050 and samples.shape == (5513, 1)
    assert len(read(data, 99)[0]) == pytest.approx(44100, abs=2400)
    assert measure(data) == pytest.approx(2.0, abs=0.1)
    assert duration(data) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.8])
def test_a_file_that_is_cut_short_is_told(tmp_path, form, part, capfd):
    path = tmp_path / "half.snd"
    whole = written(form, np.random.default_rng(0).uniform(-0.5, 0.5, 44100).astype(np.float32))
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(BadFile) as caught:
        measure(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).count(str(path)) == 1
    if form in ("WAV", "WAVEX"):  # also where only its beginning is wanted: the file is not what it says it is
        with pytest.raises(BadFile, match="cut short"):
            read(path, 0.1)


def test_a_wav_written_to_a_pipe_is_whole():
    data = bytearray(written("WAV"))
    at = data.index(b"data") + 4
    for unknown in (0xFFFFFFFF, 0x7FFFFFFF):
        data[at : at + 4] = struct.pack("<I", unknown)
        assert measure(bytes(data)) == pytest.approx(2.0)


def test_what_is_no_sound_is_told(tmp_path):
    (tmp_path / "text.wav").write_text("not a sound at all, but long enough to hold a header of one")
    (tmp_path / "empty.mp3").touch()
    sound(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    expected = {
        "text.wav": "not a sound in any of the formats WAV",
        "empty.mp3": "the file is empty",
        "absent.flac": "no such file",
        "none.wav": "the sound is empty",
    }
    for name, cause in expected.items():
        with pytest.raises(BadFile) as caught:
            measure(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {cause}")
    with pytest.raises(BadFile, match="a folder"):
        measure(tmp_path)


def test_formats_outside_the_list_stay_shut():
    with pytest.raises(BadFile, match="the format is AU"):
        read(written("AU"), 1)


def test_nan_after_the_window_is_seen_by_measure():
    samples = WAVE.copy()
    samples[-5] = np.nan
    data = written("WAV", samples, subtype="FLOAT")
    assert np.isfinite(read(data, 0.5)[0]).all()
    with pytest.raises(BadFile, match="NaN"):
        measure(data)


def test_a_header_that_promises_much_takes_no_memory():
    header = written("WAV", np.zeros((2, 40), np.float32), 48000)
    at = header.index(b"data") + 4
    endless = header[:at] + struct.pack("<I", 0xFFFFFFFF) + header[at + 4 :]
    assert len(read(endless, 1e9)[0]) == 2  # what is there is little, whatever the header says
    silence = BytesIO()
    soundfile.write(silence, np.zeros((2**22, 1), np.int16), 8000, format="FLAC")
    assert len(silence.getvalue()) < 200_000
    peak = max(len(block) for block in blocks_of(silence.getvalue()))
    assert peak <= 2**18, "whatever is asked for, a block at a time is held"


def test_noise_never_gives_another_exception(capfd):
    rng = np.random.default_rng(0)
    for form in ("WAV", "FLAC", "OGG", "MP3"):
        whole = written(form, WAVE[:4000])
        for _ in range(30):
            broken = bytearray(whole)
            for at in rng.integers(0, len(broken), 4):
                broken[at] = rng.integers(256)
            with suppress(BadFile):
                assert read(bytes(broken), 0.1)[0].ndim == 2
