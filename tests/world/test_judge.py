"""The judge reads every factor back from pictures, of all splits."""

import numpy as np
import pytest

from sensorium.world import judge, picture, scene


@pytest.mark.parametrize("split", ["validation", "compositional"])
def test_scenes_are_read_back_from_their_pictures(split):
    scenes = scene.draw(split, np.arange(60), seed=9)
    assert np.mean(judge.of_pictures(picture.render(scenes)).id == scenes.id) >= 0.98


def test_an_empty_picture_holds_nothing():
    assert judge.of_pictures(np.full((1, 64, 64, 3), 40, np.uint8)).count[0] == 0
