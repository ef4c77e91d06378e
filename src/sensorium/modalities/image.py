"""Pictures: u8 RGB, square. Any picture file or array comes in; its middle square comes out at `size`×`size`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import UInt8

from sensorium.core.protocols import Raw
from sensorium.modalities import picture_file
from sensorium.modalities.raw import BadRaw, described

if TYPE_CHECKING:
    from PIL import Image as Pillow

TAKES = "a path, the bytes of a file, a PIL image, or an array of H×W, H×W×1, H×W×3 or H×W×4"


@dataclass(frozen=True)
class Image:
    """A field of pictures.

    The short side is resized to `size` pixels (bicubic with antialiasing) and the middle square is kept. EXIF rotation is
    applied, grey and palette become RGB, 16-bit grey is scaled, transparency is laid on white, an animation gives its first
    frame; colour profiles are not applied. Pixels of u8 RGB that already have the size pass unchanged.
    """

    name: str = "image"
    size: int = 64

    kind: ClassVar[str] = "image"
    folder: ClassVar[str] = "images"
    suffixes: ClassVar[tuple[str, ...]] = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
    tower: ClassVar[str] = "convnet"

    def __post_init__(self):
        if self.size < 1:
            raise BadRaw(f"Image(size={self.size}): the size is a number of pixels, at least 1")

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: u8[size size 3]}`. `BadFile` for a file that is no whole picture, `BadRaw` for anything else."""
        if isinstance(raw, np.ndarray):
            if raw.dtype == np.uint8 and raw.shape == (self.size, self.size, 3):
                return {self.name: raw}
            picture = _from_array(raw)
        elif isinstance(raw, str | Path | bytes):
            picture = picture_file.read(raw, self.size)
        else:
            picture = _from_pillow(raw)
        return {self.name: np.asarray(_square(picture, self.size))}

    def blank(self) -> dict[str, np.ndarray]:
        return {self.name: np.zeros((self.size, self.size, 3), np.uint8)}

    def show(self, x: UInt8[np.ndarray, "H W 3"]) -> "Pillow.Image":
        """The picture as Pillow has it."""
        from PIL import Image as Pillow

        return Pillow.fromarray(np.asarray(x))


def _square(picture: "Pillow.Image", size: int) -> "Pillow.Image":
    """The middle square, resized. Cutting first gives what resizing first would, and a long strip cannot explode."""
    from PIL import Image as Pillow

    short = min(picture.size)
    left, top = ((side - short) // 2 for side in picture.size)  # whole pixels: half of one would blur what needs no resizing
    return picture.resize((size, size), Pillow.Resampling.BICUBIC, box=(left, top, left + short, top + short))


def _from_array(x: np.ndarray) -> "Pillow.Image":
    from PIL import Image as Pillow

    flat = x.ndim == 2 or (x.ndim == 3 and x.shape[-1] in (1, 3, 4))
    if not flat or x.size == 0:
        raise BadRaw(f"a picture of {described(x)}: the shape has to be H×W, H×W×1, H×W×3 or H×W×4, with the channels last")
    if np.issubdtype(x.dtype, np.floating):
        low, high = float(x.min()), float(x.max())
        if not (low >= 0 and high <= 1):  # also true of NaN
            raise BadRaw(f"a picture of {described(x)} with values from {low:g} to {high:g}: floats are taken in [0, 1]")
        x = np.round(x * 255).astype(np.uint8)
    if x.dtype != np.uint8:
        raise BadRaw(f"a picture of {described(x)}: the numbers have to be u8, or floats in [0, 1]")
    picture = Pillow.fromarray(np.ascontiguousarray(x[..., 0] if x.shape[2:] == (1,) else x))
    picture_file.check_size(picture.size, described(x), BadRaw)
    return picture_file.rgb(picture)


def _from_pillow(raw: Raw) -> "Pillow.Image":
    from PIL import Image as Pillow

    if not isinstance(raw, Pillow.Image):
        raise BadRaw(f"a picture cannot be made of {described(raw)}: give {TAKES}")
    if isinstance(raw, picture_file.file_type()):
        return picture_file.decoded(raw, str(getattr(raw, "filename", "") or "a picture"), None)
    picture_file.check_size(raw.size, "a PIL image", BadRaw)
    return picture_file.rgb(picture_file.upright(raw))
