"""The judge reads every factor back from pictures of all splits: whole, of half the side, and less than perfect ones."""

import numpy as np
import pytest

from sensorium.world import caption, judge, picture, scene
from sensorium.world.judge_picture import half

FACTORS = ("place", "shape", "colour", "size", "texture")
SCENES = scene.draw("train", np.arange(100), seed=9)
PICTURES = picture.render(SCENES)


def exact(found: scene.Scenes, true: scene.Scenes) -> float:
    return float(np.mean(found.id == true.id))


@pytest.mark.parametrize("shown", [picture.render, lambda scenes: half(picture.render(scenes))], ids=["64", "32"])
@pytest.mark.parametrize("split", ["validation", "compositional"])
def test_scenes_are_read_back_from_their_pictures(split, shown):
    scenes = scene.draw(split, np.arange(120), seed=9)
    found = judge.of_pictures(shown(scenes))
    assert exact(found, scenes) >= 0.995
    for name in FACTORS:
        assert np.mean(getattr(found, name) == getattr(scenes, name)) >= 0.995, name


def test_stripes_that_half_a_side_averages_away_are_known_by_their_light():
    """Stripes of 4 pixels are 2 then, and at one phase of two nothing is left of them but that the colour is darker."""
    parts = np.stack(np.meshgrid(np.arange(6), np.arange(3), np.arange(2), indexing="ij"), -1).reshape(-1, 3).repeat(5, 0)
    shape, texture, size = (np.stack([column, *[np.full(len(parts), -1)] * 2], 1) for column in parts.T)
    place = np.where(shape < 0, -1, 4)
    scenes = scene.Scenes(shape, np.where(shape < 0, -1, 5), texture, size, place, key=scene.mix(np.arange(180, dtype=np.uint64)))
    assert exact(judge.of_pictures(half(picture.render(scenes))), scenes) >= 0.995


def test_blur_and_noise_cost_little():
    small = half(PICTURES).astype(np.float32)
    pad = np.pad(small, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = 0.2 * pad[:, :-2] + 0.6 * pad[:, 1:-1] + 0.2 * pad[:, 2:]
    blurred = 0.2 * rows[:, :, :-2] + 0.6 * rows[:, :, 1:-1] + 0.2 * rows[:, :, 2:]
    noise = np.random.default_rng(0).normal(0, 8, small.shape)

    def read(pictures: np.ndarray) -> scene.Scenes:
        return judge.of_pictures(np.clip(pictures, 0, 255).astype(np.uint8))

    assert exact(read(small + noise), SCENES) >= 0.97
    found = read(blurred + noise)
    assert exact(found, SCENES) >= 0.97
    for name in FACTORS:
        assert np.mean(getattr(found, name) == getattr(SCENES, name)) >= 0.97, name


def test_what_hardly_stands_out_is_nothing():
    ground = np.median(PICTURES.reshape(len(PICTURES), -1, 3), axis=1)[:, None, None]
    for strength, there in ((0.1, False), (0.5, True)):
        faint = half((ground + strength * (PICTURES - ground)).astype(np.uint8))
        assert np.mean(judge.of_pictures(faint).place == np.where(there, SCENES.place, -1)) >= 0.99


def test_more_things_than_a_scene_holds_are_all_told_and_are_no_scene():
    one = caption.scenes([[(1, 0, 0, 1, place)] for place in (0, 2, 4, 6, 8)])
    five = picture.render(one).max(0, keepdims=True)
    found = judge.of_pictures(five)
    assert caption.objects(found) == [[(1, 0, 0, 1, place) for place in (0, 2, 4, 6, 8)]] and found.id[0] == -1
    assert len(judge.of_pictures(five[:0])) == 0


def test_an_empty_picture_holds_nothing_and_other_sides_are_told():
    for side in (64, 32):
        assert judge.of_pictures(np.full((1, side, side, 3), 40, np.uint8)).count[0] == 0
    for shape in ((1, 48, 48, 3), (1, 64, 32, 3)):
        with pytest.raises(ValueError, match="the judge reads sides of 64, and of 32"):
            judge.of_pictures(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="31×32 pixels have no half"):
        half(np.zeros((1, 31, 32, 3), np.uint8))
