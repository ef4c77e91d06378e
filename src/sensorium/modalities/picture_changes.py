"""What Pillow does to a prepared picture: a thumbnail, a part of it enlarged, and the operations of RandAugment."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from PIL import Image as Pillow

OPERATIONS = ("identity", "autocontrast", "equalize", "rotate", "solarize", "color", "posterize", "contrast", "brightness")
OPERATIONS += ("sharpness", "shear_x", "shear_y", "translate_x", "translate_y")
"""Those of Cubuk et al. 2020, table 6."""


def jpeg(shown: Any, side: int) -> bytes | None:
    """A Pillow picture as a JPEG of at most `side` pixels a side; None of anything else that a modality may show."""
    from PIL import Image as Pillow

    if not isinstance(shown, Pillow.Image):
        return None
    small = shown.convert("RGB")
    small.thumbnail((side, side))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def resized(x: UInt8[np.ndarray, "H W C"], box: tuple[float, float, float, float]) -> UInt8[np.ndarray, "H W C"]:
    """The part `box` (left, top, right, bottom; pixels) at the size of the whole, bicubic with antialiasing."""
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(x).resize((x.shape[1], x.shape[0]), Pillow.Resampling.BICUBIC, box=box))


def operate(x: UInt8[np.ndarray, "H W 3"], name: str, strength: float, sign: int) -> UInt8[np.ndarray, "H W 3"]:
    """One of `OPERATIONS`; `strength` in [0, 1], `sign` ±1 says which way where there are two."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(x)
    return np.asarray(_moved(picture, name, strength * sign) or _coloured(picture, name, strength, sign))


def _moved(picture: "Pillow.Image", name: str, by: float) -> "Pillow.Image | None":
    """Sheared by up to 0.3, shifted by up to 0.3 of the side, turned by up to 30 degrees."""
    from PIL import Image as Pillow

    if name == "rotate":
        return picture.rotate(30 * by, Pillow.Resampling.BILINEAR)
    moves = {
        "shear_x": (1, 0.3 * by, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * by, 1, 0),
        "translate_x": (1, 0, 0.3 * by * picture.width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, 0.3 * by * picture.height),
    }
    if name not in moves:
        return None
    return picture.transform(picture.size, Pillow.Transform.AFFINE, moves[name], Pillow.Resampling.BILINEAR)


def _coloured(picture: "Pillow.Image", name: str, strength: float, sign: int) -> "Pillow.Image":
    from PIL import ImageEnhance, ImageOps

    factor = 1 + 0.9 * strength * sign
    made = {
        "identity": lambda: picture,
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
        "solarize": lambda: ImageOps.solarize(picture, round(256 - 256 * strength)),
        "posterize": lambda: ImageOps.posterize(picture, 8 - round(4 * strength)),
        "color": lambda: ImageEnhance.Color(picture).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(picture).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(picture).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(picture).enhance(factor),
    }
    return made[name]()
