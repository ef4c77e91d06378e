"""Pictures as the preprocessing of a published model makes them, pixel for pixel."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from sensorium.core.protocols import Raw
from sensorium.modalities import image, picture_file, picture_torchvision
from sensorium.modalities.image import Image
from sensorium.modalities.raw import BadRaw

if TYPE_CHECKING:
    from PIL import Image as Pillow


LIKES = ("pillow", "torchvision", "open_clip")


@dataclass(frozen=True)
class Processing:
    """What is done to a picture before its pixels are numbers.

    `resize`: (pixels,) of the short side, the long one in proportion, rounded down; or (height, width), whatever the
    proportions; or () for none. `resample`: Pillow's number of a filter (2 bilinear, 3 bicubic). `crop`: (height, width) of the
    middle that is kept, filled up with black where the picture is smaller; or () for none. `like`: "pillow", or "torchvision"
    for what that does with tensors (see `picture_torchvision`), or "open_clip" for Pillow's resizing and torchvision's middle.
    """

    resize: Sequence[int] = (224,)
    resample: int = 3
    crop: Sequence[int] = (224, 224)
    like: str = "pillow"

    def __post_init__(self):
        for name in ("resize", "crop"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists only
        if len(self.resize) > 2 or len(self.crop) not in (0, 2) or (len(self.resize) < 2 and not self.crop):
            raise BadRaw(f"{self}: it does not say what height and width all pictures come to")
        if min((*self.resize, *self.crop)) < 1 or self.resample not in range(6):
            raise BadRaw(f"{self}: expected sizes of at least 1, and a filter of Pillow's, 0 to 5")
        if self.like not in LIKES:
            raise BadRaw(f"{self}: expected like to be one of {', '.join(LIKES)}")
        if self.like == "open_clip" and (len(self.resize) != 1 or max(self.size) > self.resize[0]):
            raise BadRaw(f"{self}: as OpenCLIP does it, expected the pixels of the short side, and a crop within them")
        if self.like == "torchvision" and not (
            len(self.resize) == 2 and self.resample == 2 and all(map(operator.le, self.size, self.resize))
        ):
            raise BadRaw(f"{self}: as torchvision does it, expected (height, width), bilinear, and a crop within them")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what comes out."""
        height, width = self.crop or self.resize
        return height, width


def processing_of(said: Processing | Mapping[str, Any]) -> Processing:
    """The processing that a configuration in JSON says, where it is not one already."""
    return said if isinstance(said, Processing) else Processing(**said)


@dataclass(frozen=True)
class Picture:
    """A field of pictures, prepared as `processing` says: u8 RGB; its encoder makes numbers of them.

    Everything that `Image` reads is read here, and by the same rules: EXIF rotation is applied, transparency laid on white.
    """

    name: str = "image"
    processing: Processing | Mapping[str, Any] = Processing()

    kind: ClassVar[str] = "image"
    folder: ClassVar[str] = Image.folder
    suffixes: ClassVar[tuple[str, ...]] = Image.suffixes
    tower: ClassVar[str] = "published_vit"

    def __post_init__(self):
        object.__setattr__(self, "processing", processing_of(self.processing))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self._processing.size

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: u8[H W 3]}`. `BadFile` for a file that is no whole picture, `BadRaw` for anything else."""
        picture = as_pillow(raw)
        if self._processing.like == "torchvision":
            resized = picture_torchvision.bilinear(np.asarray(picture), *self._processing.resize)
            return {self.name: picture_torchvision.middle(resized, *self.size)}
        if self._processing.resize:
            picture = picture.resize(self._resized(*picture.size), self._processing.resample)
        x = np.asarray(picture)
        if x.shape[:2] != self.size and not self._processing.crop:
            raise BadRaw(f"a picture of {x.shape[0]}×{x.shape[1]}, where {self.size[0]}×{self.size[1]} are taken")
        return {self.name: (_middle if self._processing.like == "pillow" else picture_torchvision.middle)(x, *self.size)}

    def blank(self) -> dict[str, np.ndarray]:
        return {self.name: np.zeros((*self.size, 3), np.uint8)}

    def show(self, x: UInt8[np.ndarray, "H W 3"]) -> "Pillow.Image":
        """The picture as Pillow has it."""
        from PIL import Image as Pillow

        return Pillow.fromarray(np.asarray(x))

    @property
    def _processing(self) -> Processing:
        return processing_of(self.processing)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height), as Pillow has it."""
        resize = self._processing.resize
        if len(resize) == 2:
            return resize[1], resize[0]
        short, long = sorted((width, height))
        to = int(resize[0] * long / short)
        return (resize[0], to) if width <= height else (to, resize[0])


def as_pillow(raw: Raw) -> "Pillow.Image":
    """RGB, upright. A JPEG is decoded at its full size: at a smaller one its pixels would be others."""
    if isinstance(raw, np.ndarray):
        return image._from_array(raw)
    if isinstance(raw, str | Path | bytes):
        return picture_file.read(raw)
    return image._from_pillow(raw)


def _middle(x: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """The middle of a picture. One that is smaller is set into black first, where the reference sets it."""
    h, w = x.shape[:2]
    if h < height or w < width:
        tall, wide = max(height, h), max(width, w)
        top, left = -((h - tall) // 2), -((w - wide) // 2)  # rounded up
        field = np.zeros((tall, wide, 3), np.uint8)
        field[top : top + h, left : left + w] = x
        x, h, w = field, tall, wide
    top, left = (h - height) // 2, (w - width) // 2
    return np.ascontiguousarray(x[top : top + height, left : left + width])
