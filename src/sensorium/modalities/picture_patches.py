"""Pictures in their own proportions, as patches laid flat: as many as there is room for, and where they lie."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Num

from sensorium.core.protocols import Raw
from sensorium.modalities import picture
from sensorium.modalities.image import Image
from sensorium.modalities.raw import BadRaw

if TYPE_CHECKING:
    from PIL import Image as Pillow

EPS, MOST_SCALE = 1e-5, 100.0
"""How near the scale of a picture is sought, and the largest."""


@dataclass(frozen=True)
class Patches:
    """A field of pictures, resized in proportion to at most `most` patches of `patch` × `patch` pixels (SigLIP 2's NaFlex, after
    Dehghani et al. 2023, NaViT): both sides are rounded up to whole patches. `resample`: Pillow's number of a filter.

    Shapes are fixed, so that one compiled program serves all pictures: what there is less than `most` is filled up with black,
    and `name/mask` and `name/shape` tell what is there and how it lies.
    """

    name: str = "image"
    patch: int = 16
    most: int = 256
    resample: int = 2

    kind: ClassVar[str] = "image"
    folder: ClassVar[str] = Image.folder
    suffixes: ClassVar[tuple[str, ...]] = Image.suffixes
    tower: ClassVar[str] = "published_patches"

    def __post_init__(self):
        if min(self.patch, self.most) < 1 or self.resample not in range(6):
            raise BadRaw(f"{self}: expected a patch and a number of them of at least 1, and a filter of Pillow's, 0 to 5")

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: u8[L P], name/mask: bool[L], name/shape: i32[2]}`: RGB by patch, row by row; which of them are there; and the
        rows and columns of these. `BadFile` and `BadRaw` as of other pictures."""
        shown = picture.as_pillow(raw)
        rows, columns = self.grid(shown.height, shown.width)
        x = np.asarray(shown.resize((columns * self.patch, rows * self.patch), self.resample))
        x = x.reshape(rows, self.patch, columns, self.patch, 3).swapaxes(1, 2).reshape(rows * columns, -1)
        out = self.blank()
        out[self.name][: len(x)] = x
        out[f"{self.name}/mask"][: len(x)] = True
        out[f"{self.name}/shape"][:] = rows, columns
        return out

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """How many rows and columns of patches a picture comes to: by halving, as the reference does it, so that both agree."""

        def cut(scale: float) -> tuple[int, int]:
            rows, columns = (max(1, math.ceil(side * scale / self.patch)) for side in (height, width))
            return rows, columns

        least, largest = EPS / 10, MOST_SCALE
        while largest - least >= EPS:
            scale = (least + largest) / 2
            if math.prod(cut(scale)) <= self.most:
                least = scale
            else:
                largest = scale
        return cut(least)  # at least one patch, however long a picture is

    def blank(self) -> dict[str, np.ndarray]:
        """No patch at all: the mask is False everywhere."""
        return {
            self.name: np.zeros((self.most, self.patch * self.patch * 3), np.uint8),
            f"{self.name}/mask": np.zeros(self.most, bool),
            f"{self.name}/shape": np.ones(2, np.int32),
        }

    def show(self, x: Num[np.ndarray, "L P"]) -> "Pillow.Image":
        """The patches one below the other; how they lie is not told by them."""
        from PIL import Image as Pillow

        return Pillow.fromarray(np.asarray(x, np.uint8).reshape(-1, self.patch, 3))
