"""Clips: u8 RGB frames, square, a fixed number of them; how many there are, and when they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import UInt8

from sensorium.core.protocols import Raw
from sensorium.modalities import video_file
from sensorium.modalities.image import Image
from sensorium.modalities.raw import BadRaw, described

if TYPE_CHECKING:
    from PIL import Image as Pillow

FPS = 25.0
"""Frames a second of an array that comes without its rate."""
SAMPLINGS = ("uniform", "segment")


@dataclass(frozen=True)
class Video:
    """A field of clips.

    `frames` of a clip are looked at (of its first `seconds`, where they are given): with "uniform" sampling those from the
    first to the last in equal steps, with "segment" the middle of each of `frames` equal parts (Wang et al. 2016, TSN). A clip
    with fewer frames keeps each of them, and the rest is masked. Each frame is then treated as `Image` treats a picture.
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

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: u8[T size size 3], name/mask: bool[T], name/time: f32[T]}`: the frames, which of them there are, and when they
        stand, in seconds from the first frame of the clip.

        Takes a path, the bytes of a file, an array of frames T×H×W×C (u8, or floats in [0, 1]), or a pair of such an array and
        its frames a second. `BadFile` for a file that is no whole video, `BadRaw` for anything else.
        """
        if isinstance(raw, str | Path | bytes):
            found = video_file.read(raw, self._choose, self._picture, self.seconds)
            frames, times = found.frames, found.times
        else:
            clip, fps = _from_array(raw)
            total = len(clip) if self.seconds is None else min(len(clip), max(1, int(np.ceil(self.seconds * fps - 1e-6))))
            chosen = self._choose(total)
            frames, times = [self._picture(clip[i]) for i in chosen], [i / fps for i in chosen]
        out = self.blank()
        out[self.name][: len(frames)] = frames
        out[f"{self.name}/mask"][: len(frames)] = True
        out[f"{self.name}/time"][: len(frames)] = times
        return out

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

    def _choose(self, total: int) -> Sequence[int]:
        """As `nn.frames.sample_frames` chooses without a key."""
        n = self.frames
        if total <= n:
            return range(total)
        if self.sampling == "segment":
            return [(2 * i + 1) * total // (2 * n) for i in range(n)]
        return [(total - 1) // 2] if n == 1 else [(2 * i * (total - 1) + n - 1) // (2 * (n - 1)) for i in range(n)]

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        return Image(size=self.size).prepare(frame)["image"]


def _from_array(raw: Raw) -> tuple[np.ndarray, float]:
    clip, fps = raw if isinstance(raw, tuple | list) and len(raw) == 2 and np.ndim(raw[1]) == 0 else (raw, FPS)
    if not isinstance(clip, np.ndarray):
        raise BadRaw(
            f"a video cannot be made of {described(clip)}: give a path, the bytes of a file, an array of frames T×H×W×C, or a "
            "pair of such an array and its frames a second"
        )
    if clip.ndim != 4 or clip.shape[-1] not in (1, 3, 4) or clip.size == 0:
        hint = "; the channels come last: transpose it" if clip.ndim == 4 and {1, 3} & set(clip.shape[:2]) else ""
        raise BadRaw(f"a video of {described(clip)}: the shape has to be T×H×W×C, with C of 1, 3 or 4, and none of them 0{hint}")
    if not 0 < float(fps) < float("inf"):
        raise BadRaw(f"a video of {fps} frames a second: expected a number above 0")
    return clip, float(fps)
