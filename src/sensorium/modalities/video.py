"""Clips: u8 RGB frames, square, a fixed number of them; how many there are, and when they stand."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import UInt8

from sensorium.core.protocols import Raw, Stored
from sensorium.modalities import frames_folder, video_file
from sensorium.modalities.frames_draw import generator
from sensorium.modalities.image import Image
from sensorium.modalities.raw import BadRaw, described

if TYPE_CHECKING:
    from PIL import Image as Pillow

FPS = 25.0
"""Frames a second of an array, or a folder of frames, that comes without its rate."""
Choose = Callable[[int], Sequence[int]]
"""How many frames there are -> the numbers of those that are looked at."""
SAMPLINGS = ("uniform", "segment", "random")


@dataclass(frozen=True)
class Video:
    """A field of clips.

    `frames` of a clip are looked at (of its first `seconds`, where they are given): with "uniform" sampling those from the
    first to the last in equal steps, with "segment" the middle of each of `frames` equal parts, with "random" any one of each
    part (Wang et al. 2016, TSN: the one to test with, the other to train with). A clip with fewer frames keeps each of them,
    and the rest is masked. Each frame is then treated as `Image` treats a picture.
    """

    name: str = "video"
    size: int = 64
    frames: int = 16
    seconds: float | None = None
    sampling: str = "uniform"

    kind: ClassVar[str] = "video"
    folder: ClassVar[str] = "video"
    suffixes: ClassVar[tuple[str, ...]] = (".mp4", ".webm", ".mov", ".avi", ".mkv", ".gif", ".m4v")
    tower: ClassVar[str] = "video"

    def __post_init__(self):
        if self.size < 1 or self.frames < 1:
            raise BadRaw(f"Video(size={self.size}, frames={self.frames}): expected at least 1 pixel and 1 frame")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise BadRaw(f"Video(seconds={self.seconds}): expected seconds above 0, or None for the whole clip")
        if self.sampling not in SAMPLINGS:
            raise BadRaw(f"Video(sampling={self.sampling!r}): expected one of {', '.join(SAMPLINGS)}")

    @property
    def fps(self) -> float:
        """Frames a second of the arrays, where their length in seconds is fixed; else `FPS`."""
        return FPS if self.seconds is None else self.frames / self.seconds

    @property
    def draws(self) -> bool:
        """Whether `prepare` gives other arrays for another `draw`."""
        return self.sampling == "random"

    def prepare(self, raw: Raw, draw: int = 0) -> dict[str, np.ndarray]:
        """`{name: u8[T size size 3], name/mask: bool[T], name/time: f32[T]}`: the frames, which of them there are, and when they
        stand, in seconds from the first frame of the clip.

        Takes a path, the bytes of a file, a `Stored`, a folder of pictures (its frames, in the order of the numbers in their
        names), an array of frames T×H×W×C (u8, or floats in [0, 1]), or a pair of such a folder or array and its frames a
        second. With "random" sampling the frames are drawn by (`draw`, the file's name or the bytes). `BadFile` for a file that
        is no whole video, `BadRaw` for anything else.
        """
        frames, times = taken(raw, self._chooser(raw, draw), self._picture, self.seconds)
        out = self.blank()
        out[self.name][: len(frames)] = frames
        out[f"{self.name}/mask"][: len(frames)] = True
        out[f"{self.name}/time"][: len(frames)] = times
        return out

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many seconds the whole clip has, how many are looked at); a file is gone through to its end, not decoded."""
        whole = length(raw)
        return whole, whole if self.seconds is None else self.seconds

    def blank(self) -> dict[str, np.ndarray]:
        """No frame at all: the mask is False everywhere."""
        return {
            self.name: np.zeros((self.frames, self.size, self.size, 3), np.uint8),
            f"{self.name}/mask": np.zeros(self.frames, bool),
            f"{self.name}/time": np.zeros(self.frames, np.float32),
        }

    def show(self, x: UInt8[np.ndarray, "T H W 3"]) -> "Pillow.Image":
        """The frames side by side, the first on the left."""
        from PIL import Image as Pillow

        return Pillow.fromarray(np.concatenate(list(np.asarray(x)), axis=1))

    def _chooser(self, raw: Raw, draw: int) -> Choose:
        if self.sampling != "random":
            return self.chosen

        def drawn(total: int) -> Sequence[int]:
            if total <= self.frames:
                return range(total)
            edges = [i * total // self.frames for i in range(self.frames + 1)]
            return generator(raw, draw).integers(edges[:-1], edges[1:]).tolist()

        return drawn

    def chosen(self, total: int) -> Sequence[int]:
        """Which of so many frames are looked at where nothing is drawn: as `nn.frames.sample_frames` chooses without a key."""
        n = self.frames
        if total <= n:
            return range(total)
        if self.sampling == "segment":
            return [(2 * i + 1) * total // (2 * n) for i in range(n)]
        return [(total - 1) // 2] if n == 1 else [(2 * i * (total - 1) + n - 1) // (2 * (n - 1)) for i in range(n)]

    def _picture(self, frame: np.ndarray | Path) -> np.ndarray:
        return Image(size=self.size).prepare(frame)["image"]


def taken(
    raw: Raw, choose: Choose, convert: Callable[[np.ndarray | Path], np.ndarray], seconds: float | None
) -> tuple[list[np.ndarray], list[float]]:
    """The frames of a clip (of its first `seconds`) whose numbers `choose(how many there are)` gives, as `convert` makes them,
    and when they stand, in seconds from the first frame. What a clip may be is said by `Video.prepare`."""
    if isinstance(raw, str | Path | bytes | Stored) and not _is_folder(raw):
        found = video_file.read(raw, choose, convert, seconds)
        return found.frames, found.times
    clip, fps = _sequence(raw)
    total = len(clip) if seconds is None else min(len(clip), max(1, int(np.ceil(seconds * fps - 1e-6))))
    chosen = choose(total)
    return [convert(clip[i]) for i in chosen], [i / fps for i in chosen]


def length(raw: Raw) -> float:
    """The seconds of a clip."""
    if isinstance(raw, str | Path | bytes | Stored) and not _is_folder(raw):
        return video_file.measure(raw)
    clip, fps = _sequence(raw)
    return len(clip) / fps


def _is_folder(raw: Raw) -> bool:
    return isinstance(raw, str | Path) and os.path.isdir(raw)  # as Path.is_dir, but no error for a name that is none


def _sequence(raw: Raw) -> tuple[np.ndarray | list[Path], float]:
    """The frames of an array, or of a folder, and how many there are a second."""
    clip, fps = raw if isinstance(raw, tuple | list) and len(raw) == 2 and np.ndim(raw[1]) == 0 else (raw, FPS)
    if not (isinstance(fps, int | float | np.number) and 0 < float(fps) < float("inf")):
        raise BadRaw(f"a video of {fps} frames a second: expected a number above 0")
    if isinstance(clip, str | Path) and _is_folder(clip):
        return frames_folder.frames(Path(clip)), float(fps)
    if not isinstance(clip, np.ndarray):
        raise BadRaw(
            f"a video cannot be made of {described(clip)}: give a path, the bytes of a file, a folder of frames, an array of "
            "frames T×H×W×C, or a pair of such a folder or array and its frames a second"
        )
    if clip.ndim != 4 or clip.shape[-1] not in (1, 3, 4) or clip.size == 0:
        hint = "; the channels come last: transpose it" if clip.ndim == 4 and {1, 3} & set(clip.shape[:2]) else ""
        raise BadRaw(f"a video of {described(clip)}: the shape has to be T×H×W×C, with C of 1, 3 or 4, and none of them 0{hint}")
    return clip, float(fps)
