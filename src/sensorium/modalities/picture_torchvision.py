"""Pictures resized and cut as torchvision does it with tensors (`transforms.functional`), not as Pillow does."""

import numpy as np
from jaxtyping import Float, UInt8


def bilinear(x: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """`interpolate(mode="bilinear", align_corners=False, antialias=False)` in float32, rounded half to even.

    A pixel is made of the four nearest to it, however much smaller the picture becomes: Pillow takes all that it covers.
    """
    top, down, below = _between(len(x), height)
    left, right, beside = _between(x.shape[1], width)
    y = x.astype(np.float32)
    upper, lower = (rows[:, left] * (1 - beside)[:, None] + rows[:, right] * beside[:, None] for rows in (y[top], y[down]))
    return np.rint(upper * (1 - below)[:, None, None] + lower * below[:, None, None]).astype(np.uint8)


def middle(x: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """`center_crop`: half a pixel is rounded to the even side. The picture has to be as large."""
    top, left = round((len(x) - height) / 2), round((x.shape[1] - width) / 2)
    return np.ascontiguousarray(x[top : top + height, left : left + width])


def _between(n: int, to: int) -> tuple[np.ndarray, np.ndarray, Float[np.ndarray, " to"]]:
    """For each of `to` pixels: the two of `n` that it lies between, and how near it is to the second."""
    place = (np.arange(to, dtype=np.float32) + np.float32(0.5)) * np.float32(n / to) - np.float32(0.5)
    place = np.maximum(place, np.float32(0))
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, n - 1), place - first.astype(np.float32)
