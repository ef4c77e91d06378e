"""Sounds as the preprocessing of CLAP's published models makes them: log-mel spectrograms, number for number."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.limits import limits
from sensorium.core.protocols import Raw, Stored
from sensorium.modalities import audio, sound_file, sound_window
from sensorium.modalities.audio import Audio
from sensorium.modalities.raw import BadRaw
from sensorium.modalities.sound_block import Sound
from sensorium.nn.log_mel import LogMel, clap, repeated

CLAP = clap()
FILLS = ("repeatpad", "repeat", "pad")
WINDOWS = 3
"""Of a long sound, beside the whole of it."""


@dataclass(frozen=True)
class Spectrogram:
    """A field of sounds, prepared as `front` says: f32[C T F] in decibels, of `seconds`.

    Everything that `Audio` reads is read here, and by the same rules: the channels are averaged, the rate is changed with soxr's
    HQ filter. A shorter sound is filled up by `fill`: as often as it fits whole and then silence ("repeatpad"), repeated to the
    end ("repeat"), silence ("pad"). Of a longer one the middle is kept, where CLAP draws a part at random; of a file only that
    is read. With `fused` (C = 4, else 1) a longer one is read as a whole: squeezed into T frames without a blur, and three
    windows, the middle ones of each third, where CLAP draws one in each third at random (Wu et al. 2023, section 3.3).
    """

    name: str = "audio"
    front: LogMel | Mapping[str, Any] = CLAP
    seconds: float = 10.0
    fill: str = "repeatpad"
    fused: bool = False

    kind: ClassVar[str] = "audio"
    folder: ClassVar[str] = Audio.folder
    suffixes: ClassVar[tuple[str, ...]] = Audio.suffixes
    tower: ClassVar[str] = "published_htsat"

    def __post_init__(self):
        front = self.front if isinstance(self.front, LogMel) else LogMel(**self.front)  # JSON has objects only
        object.__setattr__(self, "front", front)
        if self.fill not in FILLS:
            raise BadRaw(f"Spectrogram(fill={self.fill!r}): expected one of {', '.join(FILLS)}")
        if not front.window // 2 < self.samples <= limits().sound_numbers:
            told = f"{self.samples} samples: expected more than half a window of {front.window}, and at most"
            raise BadRaw(f"Spectrogram(seconds={self.seconds}): {told} {limits().sound_numbers}")

    @property
    def samples(self) -> int:
        """Of a sound that just fits."""
        return round(self._front.rate * self.seconds)

    @property
    def frames(self) -> int:
        """T."""
        return 1 + self.samples // self._front.hop

    @property
    def bins(self) -> int:
        """F."""
        return self._front.bins

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: f32[C T F]}`, and with `fused` `name/mask: bool[4]`: a sound that is no longer than `seconds` is there as a
        whole only, and the windows, which are the same then, are not counted.

        Takes what `Audio` takes. `BadFile` for a file that is no whole sound, or with `fused` one too long to be held; `BadRaw`
        for anything else.
        """
        if isinstance(raw, str | Path | bytes | Stored):
            with sound_file.opened(raw) as sound:
                return self._prepared(sound, sound_file.called(raw), BadFile)
        return self._prepared(audio._from_pair(raw), "a sound", BadRaw)

    def blank(self) -> dict[str, np.ndarray]:
        pieces = 1 + WINDOWS if self.fused else 1
        mask = {f"{self.name}/mask": np.zeros(pieces, bool)} if self.fused else {}
        return {self.name: np.zeros((pieces, self.frames, self.bins), np.float32), **mask}

    def show(self, x: Float[np.ndarray, "C T F"]) -> Float[np.ndarray, "F T"]:
        """The spectrogram as a picture: low bands at the bottom, decibels. There is no way back to the sound."""
        return np.asarray(x)[0].T[::-1]

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many seconds the whole sound has, how many are kept); reads a file to its end, `BadFile` where it is broken."""
        return Audio(self.name, self._front.rate, self.seconds).measure(raw)

    @property
    def _front(self) -> LogMel:
        assert isinstance(self.front, LogMel)
        return self.front

    def _prepared(self, sound: Sound, where: str, error: type[SensoriumError]) -> dict[str, np.ndarray]:
        wave = self._read(sound, where, error)
        mel = self._front.exact(wave[None, :])[0] if len(wave) == self.samples else None
        if not self.fused:
            assert mel is not None
            return {self.name: mel[None]}
        if mel is None and len(wave) // self._front.hop + 1 == self.frames:  # longer by less than one frame
            mel = self._front.exact(wave[None, :])[0]
        x = self._pieces(wave) if mel is None else np.stack([mel] * (1 + WINDOWS))
        return {self.name: x, f"{self.name}/mask": np.array([True] + [mel is None] * WINDOWS)}

    def _read(self, sound: Sound, where: str, error: type[SensoriumError]) -> Float[np.ndarray, " N"]:
        """The part that is kept, filled up; or the whole of a longer sound."""
        rate, wanted = self._front.rate, self.samples
        whole = -(-sound.frames * rate // sound.rate)
        if self.fused and whole > wanted:
            if whole > (most := limits().sound_numbers):
                told = f"{whole} samples at {rate} Hz are more than the limit of {most}, and this model hears all of them"
                raise error(f"{where}: {told}: cut the sound, or set SENSORIUM_LIMITS='sound_numbers=…'")
            wanted = whole
        wave, real = sound_window.read(sound, rate, wanted, lambda places: places // 2, where, error)
        if whole > wanted:
            return wave
        heard = wave[: np.flatnonzero(real)[-1] + 1]
        return heard if len(heard) >= self.samples else self._filled(heard)

    def _filled(self, wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " N"]:
        if self.fill == "repeatpad":
            return repeated(wave, self.samples)
        if self.fill == "repeat":
            return np.tile(wave, -(-self.samples // len(wave)))[: self.samples]
        return np.pad(wave, (0, self.samples - len(wave)))

    def _pieces(self, wave: Float[np.ndarray, " N"]) -> Float[np.ndarray, "4 T F"]:
        total = len(wave) // self._front.hop + 1
        before, share = squeezed(total, self.frames)
        low, high = (self._front.exact(wave[None], which)[0] for which in (before, np.minimum(before + 1, total - 1)))
        overall = low * (1 - share[:, None]) + high * share[:, None]
        parts = [self._front.exact(wave[None], start + np.arange(self.frames))[0] for start in starts(total, self.frames)]
        return np.stack([overall, *parts])


def starts(total: int, frames: int) -> list[int]:
    """Where the three windows of a spectrogram begin: the middle one of the places in each third; 0 where a third has none."""
    thirds = np.array_split(np.arange(total - frames + 1), WINDOWS)
    return [int(third[len(third) // 2]) if len(third) else 0 for third in thirds]


def squeezed(total: int, frames: int) -> tuple[Int[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """The frame before each of fewer frames, and the share of the one after it: linear, centres aligned, nothing blurred.

    In float32, as PyTorch's `interpolate` has it.
    """
    half = np.float32(0.5)
    at = np.maximum((np.arange(frames, dtype=np.float32) + half) * np.float32(total / frames) - half, np.float32(0))
    return at.astype(np.int64), at - np.floor(at)
