from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pytest
import soundfile
from modalities.samples import as_bytes, sine, smooth
from PIL import Image as Pillow

from sensorium.data.health import Seen
from sensorium.doctor import pictures, sounds
from sensorium.modalities import Audio, Image

FIELD, SOUND = Image(size=64), Audio(seconds=1.0)


@dataclass(frozen=True)
class Held:
    """A `Stored`."""

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data

    def __str__(self) -> str:
        return self.name


def picture(name: str, raw) -> pictures.Picture:
    data = raw if isinstance(raw, bytes) else as_bytes(Pillow.fromarray(raw), "PNG")
    return pictures.measure(Seen(FIELD, name, data, FIELD.prepare(data), None))


def sound(name: str, samples: np.ndarray, rate: int = 16000, form: str = "WAV") -> sounds.Sound:
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=form)
    data = buffer.getvalue()
    return sounds.measure(Seen(SOUND, Held(name, data), data, SOUND.prepare(data), SOUND.measure(data)))


def photo(seed: int) -> np.ndarray:
    """Something with the spectrum of photographs: noise that falls with frequency."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) + 1 / 256
    x = np.stack([np.fft.ifft2(np.fft.fft2(rng.normal(size=(256, 256))) / f).real for _ in range(3)], -1)
    return np.clip(128 + 50 * x / x.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("make", [photo, lambda seed: smooth(256, 256, seed)], ids=["photo", "smooth"])
def test_copies_of_pictures_are_found_and_other_pictures_are_not(make):
    originals = [picture(f"o{seed}", make(seed)) for seed in range(40)]
    assert pictures.near_equal(originals) == []
    own = Pillow.fromarray(make(7))
    copies = {
        "jpeg": as_bytes(own, "JPEG", quality=75),
        "small": as_bytes(own.resize((100, 100)), "PNG"),
        "webp": as_bytes(own, "WEBP", quality=70),
        "noisy": as_bytes(
            Pillow.fromarray(np.clip(make(7) + np.random.default_rng(0).normal(0, 6, (256, 256, 3)), 0, 255).astype(np.uint8)),
            "PNG",
        ),
    }
    found = pictures.near_equal([*originals, *(picture(name, data) for name, data in copies.items())])
    assert found == [("o7", "jpeg", "small", "webp", "noisy")]


def test_blank_pictures_are_no_copies_of_each_other():
    assert pictures.near_equal([picture(str(i), np.full((64, 64, 3), 90, np.uint8)) for i in range(3)]) == []


def melody(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    notes = [sine(float(f), 16000, 0.125, 0.3) for f in rng.choice(220 * 2 ** (np.arange(24) / 6), 8)]
    return np.concatenate(notes) + rng.normal(0, 0.002, 16000).astype(np.float32)


def test_copies_of_sounds_are_found_and_other_sounds_are_not():
    originals = [sound(f"o{seed}", melody(seed)) for seed in range(40)]
    assert sounds.near_equal(originals) == []
    copies = [
        sound("flac", melody(7), form="FLAC"),
        sound("ogg", melody(7), form="OGG"),
        sound("mp3", melody(7), form="MP3"),
        sound("quieter", 0.93 * melody(7)),
        sound("half", 0.5 * melody(7)),
    ]
    found = sounds.near_equal([*originals, *copies])
    assert len(found) == 1 and set(found[0]) >= {"o7", "flac", "ogg", "quieter"} and "half" not in found[0]


def test_tones_of_nearly_the_same_pitch_are_no_copies_but_one_that_starts_later_is():
    tones = [sound(str(f), sine(f, 16000)) for f in (1900, 1950, 2000, 2005)]
    assert sounds.near_equal(tones) == []
    wave = melody(1)
    assert sounds.correlation(wave, np.roll(wave, 40)) > 0.98 and sounds.correlation(wave, melody(2)) < 0.5
    assert sounds.correlation(wave, 0 * wave) == 0


def test_what_is_measured_of_a_sound():
    clean = sound("a", sine(300, 16000, 1.0, 0.5))
    assert clean.peak == pytest.approx(0.5, abs=0.01) and clean.clipped == 0 and clean.offset < 1e-3
    assert clean.rate == 16000 and clean.seconds == 1.0 and clean.window == 1.0
    flat = sound("b", np.clip(3 * sine(300, 16000, 1.0, 0.5), -1, 1))
    share = 1 - 2 / np.pi * np.arcsin(2 / 3)  # of a sine of 1.5 that lies above 1
    assert flat.clipped == pytest.approx(share, abs=0.03)
    assert sound("c", 0.2 + sine(300, 16000, 1.0, 0.1)).offset == pytest.approx(0.2, abs=1e-3)
    one_ear = np.stack([sine(300, 16000), np.clip(4 * sine(300, 16000), -1, 1)], 1)
    assert sound("d", one_ear).clipped > 0.3


def test_a_band_of_the_spectrum_holds_the_tone():
    table = sounds.spectrum(sine(1000, 16000, 1.0))
    assert len(set(table.argmax(0).tolist())) == 1
    assert sounds.spectrum(sine(4000, 16000, 1.0)).argmax(0)[0] > table.argmax(0)[0]
    assert np.isfinite(sounds.spectrum(np.zeros(16000, np.float32))).all()
