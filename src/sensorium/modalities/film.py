"""Clips as the preprocessing of a published model makes them: the frames that are looked at, each one pixel for pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from sensorium.core.protocols import Raw
from sensorium.modalities import video
from sensorium.modalities.picture import Picture, Processing, processing_of
from sensorium.modalities.raw import BadRaw
from sensorium.modalities.video import Video

if TYPE_CHECKING:
    from PIL import Image as Pillow

USUAL = Processing()


@dataclass(frozen=True)
class Film:
    """A field of clips, each frame prepared as `processing` says: u8 RGB; its encoder makes numbers of them.

    Frame i of `frames` is number ⌊i · total / frames⌋ of the clip (of its first `seconds`, where they are given), as
    transformers' video processors pick them. A clip with fewer frames shows each of them several times, so that all models,
    which know nothing of missing frames, see as many as they were trained with.
    """

    name: str = "video"
    frames: int = 16
    processing: Processing | Mapping[str, Any] = USUAL
    seconds: float | None = None

    kind: ClassVar[str] = "video"
    folder: ClassVar[str] = Video.folder
    suffixes: ClassVar[tuple[str, ...]] = Video.suffixes
    tower: ClassVar[str] = "published_video"

    def __post_init__(self):
        object.__setattr__(self, "processing", processing_of(self.processing))
        if self.frames < 1 or (self.seconds is not None and not 0 < self.seconds < float("inf")):
            raise BadRaw(f"Film(frames={self.frames}, seconds={self.seconds}): expected 1 frame or more, and seconds above 0")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return processing_of(self.processing).size

    @property
    def fps(self) -> float:
        """Frames a second of the arrays, where their length in seconds is fixed; else that of a clip without a rate."""
        return video.FPS if self.seconds is None else self.frames / self.seconds

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: u8[T H W 3], name/mask: bool[T], name/time: f32[T]}`, as `Video.prepare` gives them of the same raw things; the
        mask is True everywhere."""
        frames, times = video.taken(raw, self._choose, self._picture, self.seconds)
        shown = [i * len(frames) // self.frames for i in range(self.frames)]
        return {
            self.name: np.stack([frames[i] for i in shown]),
            f"{self.name}/mask": np.ones(self.frames, bool),
            f"{self.name}/time": np.asarray([times[i] for i in shown], np.float32),
        }

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many seconds the whole clip has, how many are looked at)."""
        whole = video.length(raw)
        return whole, whole if self.seconds is None else self.seconds

    def blank(self) -> dict[str, np.ndarray]:
        """No frame at all: the mask is False everywhere."""
        return {
            self.name: np.zeros((self.frames, *self.size, 3), np.uint8),
            f"{self.name}/mask": np.zeros(self.frames, bool),
            f"{self.name}/time": np.zeros(self.frames, np.float32),
        }

    def show(self, x: UInt8[np.ndarray, "T H W 3"]) -> "Pillow.Image":
        """The frames side by side, the first on the left."""
        from PIL import Image as Pillow

        return Pillow.fromarray(np.concatenate(list(np.asarray(x)), axis=1))

    def _choose(self, total: int) -> Sequence[int]:
        return range(total) if total <= self.frames else [i * total // self.frames for i in range(self.frames)]

    def _picture(self, frame: np.ndarray | Path) -> np.ndarray:
        return Picture("frame", self.processing).prepare(frame)["frame"]
