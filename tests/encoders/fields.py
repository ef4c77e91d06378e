"""What a field of clips or of traces has to say of itself for an encoder to be built for it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clips:
    name: str = "video"
    frames: int = 8
    size: int = 32
    fps: float = 8.0

    def blank(self) -> dict[str, np.ndarray]:
        return {self.name: np.zeros((self.frames, self.size, self.size, 3), np.uint8)}


@dataclass(frozen=True)
class Traces:
    name: str = "sensor"
    length: int = 50
    channels: int = 3

    def blank(self) -> dict[str, np.ndarray]:
        return {self.name: np.zeros((self.length, self.channels), np.float32), f"{self.name}/mask": np.ones(self.length, bool)}
