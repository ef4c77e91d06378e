"""Files that end, or hold, the process that decodes them."""

import os
import time
from dataclasses import dataclass

import numpy as np
import pytest

from sensorium.core.errors import BadFile
from sensorium.modalities import Audio, Image, Sensor
from sensorium.modalities.written import png_bytes
from sensorium.serve import apart
from sensorium.serve.apart import Decoder, told

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
HUNGRY = "type('Hungry', (), {'prepare': lambda self, raw: bytearray(5 << 30)})()"


@dataclass(frozen=True)
class Doing(Image):
    """A field whose pickle is a call, in the process that reads it."""

    call: tuple = ()

    def __reduce__(self):
        return self.call


@pytest.fixture(scope="module")
def decoder():
    made = Decoder()
    yield made
    made.close()


def test_what_comes_back_is_what_the_modality_gives(decoder, tmp_path):
    (tmp_path / "a.csv").write_text("time,x\n0,1\n0.1,2\n0.2,4\n")
    things = (Image("image", 16), png_bytes(PICTURE)), (Sensor("sensor", ("x",), 10.0, 0.3), tmp_path / "a.csv")
    for field, raw in things:
        here, there = field.prepare(raw), decoder.prepare(field, raw)
        assert list(here) == sorted(there, key=list(here).index)
        for name, x in here.items():
            assert x.dtype == there[name].dtype
            np.testing.assert_array_equal(x, there[name])


def test_what_is_broken_is_told_and_names_no_path(decoder, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for field, raw in ((Image("image", 16), b"none"), (Audio("audio", 8000, 0.2), tmp_path / "a.wav")):
        with pytest.raises(BadFile) as here:
            told(field, raw)
        with pytest.raises(BadFile) as there:
            decoder.prepare(field, raw)
        assert str(here.value) == str(there.value) and str(tmp_path) not in str(there.value)


def test_who_crashes_it_is_told_and_the_next_one_is_served(decoder):
    with pytest.raises(BadFile, match="has ended"):
        decoder.prepare(Doing(call=(os._exit, (9,))), b"")
    assert decoder.prepare(Image("image", 16), png_bytes(PICTURE))["image"].shape == (16, 16, 3)


def test_memory_beyond_the_limit_is_an_error_of_that_file_alone(decoder):
    pytest.importorskip("resource")
    with pytest.raises(BadFile, match="MemoryError"):
        decoder.prepare(Doing(call=(eval, (HUNGRY,))), b"")
    assert decoder.prepare(Image("image", 16), png_bytes(PICTURE))


def test_who_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(apart, "GRACE", -29)  # a second is left
    began, decoder = time.monotonic(), Decoder()
    with pytest.raises(BadFile, match="within 1 s"):
        decoder.prepare(Doing(call=(time.sleep, (60,))), b"")
    assert time.monotonic() - began < 30
    decoder.close()


def test_it_ends_with_whoever_started_it():
    decoder = Decoder()
    process = decoder.start()
    assert decoder.start() is process and process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    decoder.close()
