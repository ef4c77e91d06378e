"""Sounds: f32 in [-1, 1], one channel, at `rate` Hz, of a fixed number of `seconds`."""

import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.limits import limits
from sensorium.core.protocols import Raw, Stored
from sensorium.modalities import sound_block, sound_file, sound_window
from sensorium.modalities.frames_draw import generator
from sensorium.modalities.raw import BadRaw, described
from sensorium.modalities.sound_block import Sound
from sensorium.modalities.sound_window import LOUDEST as LOUDEST

WINDOWS = ("start", "middle", "random")


@dataclass(frozen=True)
class Audio:
    """A field of sounds.

    The channels are averaged and the rate is changed with soxr's HQ filter where it differs. Of a longer sound `seconds` are
    kept: its "start", its "middle" or a "random" part; a shorter sound is followed by silence, which the mask leaves out. Only
    the part that is needed is read. A video gives its first sound track, on the clock of its frames.
    """

    name: str = "audio"
    rate: int = 16000
    seconds: float = 1.0
    window: str = "start"

    kind: ClassVar[str] = "audio"
    folder: ClassVar[str] = "audio"
    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac")
    tower: ClassVar[str] = "audio_convnet"

    def __post_init__(self):
        if self.rate < 1 or not 0 < self.seconds < float("inf") or self.samples < 1:
            raise BadRaw(f"Audio(rate={self.rate}, seconds={self.seconds}): expected a rate in Hz and seconds, both above 0")
        if self.samples > (most := limits().sound_numbers):
            told = f"{self.samples} samples are more than the limit of {most}; SENSORIUM_LIMITS='sound_numbers=…' allows more"
            raise BadRaw(f"Audio(rate={self.rate}, seconds={self.seconds}): {told}")
        if self.window not in WINDOWS:
            raise BadRaw(f"Audio(window={self.window!r}): expected one of {', '.join(WINDOWS)}")

    @property
    def samples(self) -> int:
        """N, the length of the arrays."""
        return round(self.rate * self.seconds)

    @property
    def draws(self) -> bool:
        """Whether `prepare` gives other arrays for another `draw`."""
        return self.window == "random"

    def prepare(self, raw: Raw, draw: int = 0) -> dict[str, np.ndarray]:
        """`{name: f32[N], name/mask: bool[N]}`: the samples, and which of them are of the sound; the others are 0.

        Takes a path, the bytes of a file or a `Stored` (sounds, and videos with a sound track: sample 0 is the time of the first
        frame), or an (array, rate) pair of f32[N] or [N channels] or integers. A "random" window is drawn by (`draw`, the
        file's name or the bytes). `BadFile` for a file that is no whole sound (`sound_file.NoSound` for a video without),
        `BadRaw` for anything else.
        """

        def place(n: int) -> int:
            if self.window == "random":
                return int(generator(raw, draw).integers(n))
            return n // 2 if self.window == "middle" else 0

        if isinstance(raw, str | Path | bytes | Stored):
            with sound_file.opened(raw) as sound:
                x, real = sound_window.read(sound, self.rate, self.samples, place, sound_file.called(raw), BadFile)
        else:
            x, real = sound_window.read(_from_pair(raw), self.rate, self.samples, place, "a sound", BadRaw)
        return {self.name: x, f"{self.name}/mask": real}

    def whole(self, raw: Raw) -> Float[np.ndarray, " N"]:
        """All of a sound at `rate`, however long it is; what `prepare` takes, and its errors. It is held at once: more samples
        than the limit `sound_numbers` allows are a `BadFile` or `BadRaw`."""
        if isinstance(raw, str | Path | bytes | Stored):
            with sound_file.opened(raw) as sound:
                return _whole(sound, self.rate, sound_file.called(raw), BadFile)
        return _whole(_from_pair(raw), self.rate, "a sound", BadRaw)

    def blank(self) -> dict[str, np.ndarray]:
        """No sound at all: the mask is False everywhere."""
        return {self.name: np.zeros(self.samples, np.float32), f"{self.name}/mask": np.zeros(self.samples, bool)}

    def show(self, x: Float[np.ndarray, " N"]) -> tuple[Float[np.ndarray, " N"], int]:
        """The (array, rate) pair that players take."""
        return np.asarray(x), self.rate

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many seconds the whole sound has, how many are kept); reads a file to its end, `BadFile` where it is broken."""
        if isinstance(raw, str | Path | bytes | Stored):
            return sound_file.measure(raw), self.seconds
        sound = _from_pair(raw)
        return sound.frames / sound.rate, self.seconds


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


def _whole(sound: Sound, rate: int, where: str, error: type[SensoriumError]) -> Float[np.ndarray, " N"]:
    samples = max(1, -(-sound.frames * rate // sound.rate))
    if samples > (most := limits().sound_numbers):
        minutes = f"{samples / rate / 60:.0f} minutes, more than the {most / rate / 60:.0f} that are held at once"
        raise error(f"{where}: {minutes}; SENSORIUM_LIMITS='sound_numbers={samples}' allows it")
    x, real = sound_window.read(sound, rate, samples, lambda places: 0, where, error)
    return x[: int(np.flatnonzero(real)[-1]) + 1]


def _from_pair(raw: Raw) -> Sound:
    if not (isinstance(raw, tuple | list) and len(raw) == 2 and np.ndim(raw[0]) in (1, 2) and np.ndim(raw[1]) == 0):
        raise BadRaw(
            f"a sound cannot be made of {described(raw)}: give a path, the bytes of a file, or a pair (array, rate in Hz), "
            "the array of N samples or N×channels"
        )
    x, rate = np.asarray(raw[0]), raw[1]
    if not 0 < rate <= limits().rate or rate != int(rate):
        raise BadRaw(f"a sound with a rate of {rate}: expected a whole number of Hz, up to {limits().rate}")
    if x.ndim == 2 and x.shape[1] > limits().channels:
        raise BadRaw(f"a sound of {described(x)}: {x.shape[1]} channels; the shape is samples×channels, perhaps transpose it")
    if x.size == 0:
        raise BadRaw("a sound: the sound is empty (no samples)")
    if x.dtype == np.uint8:  # as 8-bit WAV has it: silence is 128
        x = (x.astype(np.float32) - 128) / 128
    elif np.issubdtype(x.dtype, np.signedinteger):
        x = (x / -float(np.iinfo(x.dtype).min)).astype(np.float32)
    elif not np.issubdtype(x.dtype, np.floating):
        raise BadRaw(f"a sound of {described(x)}: the numbers have to be floats in [-1, 1], signed integers or u8")
    return sound_block.of_array(x.reshape(len(x), -1), int(rate))
