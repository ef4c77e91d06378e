"""Sounds: f32 in [-1, 1], one channel, at `rate` Hz, of a fixed number of `seconds`."""

import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.core.protocols import Raw
from sensorium.modalities import sound_file
from sensorium.modalities.raw import BadRaw, described

MARGIN = 0.1
"""Seconds read past the end of the window, so that the resampling filter sees there what it would in the whole sound."""
LOUDEST = 4.0
"""Peaks up to this are clipped to 1 (lossy formats overshoot); above it the numbers cannot be a sound in [-1, 1]."""


@dataclass(frozen=True)
class Audio:
    """A field of sounds.

    The channels are averaged, the rate is changed with soxr's HQ filter where it differs, the first `seconds` are kept, and a
    shorter sound is followed by silence. Of a long file only the part that is needed is read.
    """

    name: str = "audio"
    rate: int = 16000
    seconds: float = 1.0

    kind: ClassVar[str] = "audio"
    folder: ClassVar[str] = "audio"
    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
    tower: ClassVar[str] = "audio_convnet"

    def __post_init__(self):
        if self.rate < 1 or not 0 < self.seconds < float("inf") or self.samples < 1:
            raise BadRaw(f"Audio(rate={self.rate}, seconds={self.seconds}): expected a rate in Hz and seconds, both above 0")

    @property
    def samples(self) -> int:
        """N, the length of the arrays."""
        return round(self.rate * self.seconds)

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: f32[N]}` of a path, the bytes of a file, or an (array, rate) pair of f32[N] or [N channels] or integers.

        `BadFile` for a file that is no whole sound, `BadRaw` for anything else.
        """
        if isinstance(raw, str | Path | bytes):
            heard, rate = sound_file.read(raw, self.seconds + MARGIN)
            where, error = sound_file.named(raw), BadFile
        else:
            heard, rate = _from_pair(raw)
            heard, where, error = heard[: int(np.ceil((self.seconds + MARGIN) * rate))], "a sound", BadRaw
        mono = _mono(heard, where, error)
        if rate != self.rate:
            soxr = need("soxr", "media", f"changing the rate of a sound from {rate} to {self.rate} Hz")
            mono = soxr.resample(mono, rate, self.rate, quality="HQ")
        out = np.zeros(self.samples, np.float32)
        kept = mono[: self.samples]
        out[: len(kept)] = np.clip(kept, -1, 1)
        return {self.name: out}

    def blank(self) -> dict[str, np.ndarray]:
        return {self.name: np.zeros(self.samples, np.float32)}

    def show(self, x: Float[np.ndarray, " N"]) -> tuple[Float[np.ndarray, " N"], int]:
        """The (array, rate) pair that players take."""
        return np.asarray(x), self.rate

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many seconds the whole sound has, how many are kept); reads a file to its end, `BadFile` where it is broken."""
        if isinstance(raw, str | Path | bytes):
            return sound_file.measure(raw), self.seconds
        samples, rate = _from_pair(raw)
        return len(samples) / rate, self.seconds


def wav_bytes(x: Float[np.ndarray, "..."], rate: int) -> bytes:
    """A WAV file of 16 bits: `x` is f32[N] or f32[N channels] in [-1, 1]; what is beyond is clipped."""
    x = np.asarray(x)
    if x.ndim not in (1, 2) or not np.isfinite(x).all():
        raise BadRaw(f"a sound of {described(x)}: expected finite numbers, N or N×channels")
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1 if x.ndim == 1 else x.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(np.round(x * 32768.0), -32768, 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _from_pair(raw: Raw) -> tuple[np.ndarray, int]:
    if not (isinstance(raw, tuple | list) and len(raw) == 2 and np.ndim(raw[0]) in (1, 2) and np.ndim(raw[1]) == 0):
        raise BadRaw(
            f"a sound cannot be made of {described(raw)}: give a path, the bytes of a file, or a pair (array, rate in Hz), "
            "the array of N samples or N×channels"
        )
    x, rate = np.asarray(raw[0]), raw[1]
    if not 0 < rate <= sound_file.MOST_RATE or rate != int(rate):
        raise BadRaw(f"a sound with a rate of {rate}: expected a whole number of Hz, up to {sound_file.MOST_RATE}")
    if x.ndim == 2 and x.shape[1] > sound_file.MOST_CHANNELS:
        raise BadRaw(f"a sound of {described(x)}: {x.shape[1]} channels; the shape is samples×channels, perhaps transpose it")
    if x.dtype == np.uint8:  # as 8-bit WAV has it: silence is 128
        x = (x.astype(np.float32) - 128) / 128
    elif np.issubdtype(x.dtype, np.signedinteger):
        x = (x / -float(np.iinfo(x.dtype).min)).astype(np.float32)
    elif not np.issubdtype(x.dtype, np.floating):
        raise BadRaw(f"a sound of {described(x)}: the numbers have to be floats in [-1, 1], signed integers or u8")
    return x, int(rate)


def _mono(x: np.ndarray, where: str, error: type[SensoriumError]) -> Float[np.ndarray, " N"]:
    """The mean over the channels, once it is known to be a sound."""
    if x.size == 0:
        raise error(f"{where}: the sound is empty (no samples)")
    if not np.isfinite(x).all():
        raise error(f"{where}: {np.count_nonzero(~np.isfinite(x))} of its samples are NaN or infinite")
    if (peak := float(np.abs(x).max())) > LOUDEST:
        raise error(f"{where}: samples up to {peak:g}, expected [-1, 1]; divide integers by their full scale (32768 for 16 bits)")
    return (x if x.ndim == 1 else x.mean(1)).astype(np.float32)
