"""A contact sheet: each picture pixel by pixel at its place."""

import numpy as np
import pytest
from PIL import Image as Pillow

from sensorium.show.sheet import GAP, sheet


def test_small_pictures_are_enlarged_and_lie_row_by_row():
    pictures = [Pillow.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)) for i in range(5)]
    whole = np.asarray(sheet(pictures))
    assert whole.shape == (2 * (128 + GAP) + GAP, 3 * (128 + GAP) + GAP, 3)
    middles = whole[GAP + 64 :: 128 + GAP, GAP + 64 :: 128 + GAP, 0]
    assert middles.tolist() == [[0, 40, 80], [120, 160, 255]] and whole[0, 0, 0] == 255


def test_strips_of_clips_lie_one_below_the_other():
    assert sheet([Pillow.new("RGB", (256, 128))] * 2).size == (256 + 2 * GAP, 2 * (128 + GAP) + GAP)


@pytest.mark.parametrize("pictures", [[], [Pillow.new("RGB", (2, 2)), Pillow.new("RGB", (3, 2))]])
def test_pictures_of_several_sizes_or_none_are_an_error(pictures):
    with pytest.raises(ValueError, match="one or more, all of one size"):
        sheet(pictures)
