"""Pictures: equal one by one or together, and what they show is where it should be."""

import numpy as np

from sensorium.world import picture, scene


def test_pictures_are_equal_one_by_one_and_together_and_every_time():
    scenes = scene.draw("train", np.arange(40))
    together = picture.render(scenes)
    assert together.dtype == np.uint8 and together.shape == (40, 64, 64, 3)
    assert np.array_equal(together, np.concatenate([picture.render(scenes[i : i + 1]) for i in range(40)]))
    assert np.array_equal(together, picture.render(scene.draw("train", np.arange(40))))


def test_an_object_is_at_its_place_in_its_colour_and_the_ground_is_plain():
    one = scene.Scenes(
        *(np.array([[v, -1, -1]]) for v in (1, 0, 0, 1, 2)), key=np.array([3], np.uint64)
    )  # large red square, top right
    image = picture.render(one)[0].astype(int)
    ground = image[50, 10]
    assert (image[25:] == ground).all() and (image[:, :35] == ground).all()
    assert abs(image[10:12, 52:54] - picture.PALETTE[0] * 255).max() < 12
    assert 200 < (abs(image - ground).max(-1) > 24).sum() < 340  # (2 · 0.84 · 9.2)² = 239, ± the scale and the edges


def test_size_changes_the_area_and_texture_the_light():
    def shown(size: int, texture: int) -> np.ndarray:
        one = scene.Scenes(*(np.array([[v, -1, -1]]) for v in (0, 7, texture, size, 4)), key=np.array([3], np.uint64))
        return picture.render(one)[0].astype(float)

    def area(image: np.ndarray) -> int:
        return (abs(image - image[0, 0]).max(-1) > 24).sum()

    assert 2.2 < area(shown(1, 0)) / area(shown(0, 0)) < 3.2  # (9.2 / 5.6)² = 2.7
    assert shown(1, 0).mean() > shown(1, 2).mean() > shown(1, 1).mean()


def test_two_scenes_of_equal_objects_differ_by_their_nuisances():
    a = scene.Scenes(*(np.array([[v, -1, -1]] * 2) for v in (0, 0, 0, 0, 0)), key=np.array([3, 4], np.uint64))
    first, second = picture.render(a)
    assert a.id[0] == a.id[1] and not np.array_equal(first, second)


def test_the_highest_numbers_below_one_make_a_picture_too():
    """Row 61343 of this stream draws one that is 1 in float32: an index beyond the last turn."""
    picture.render(scene.draw("train", np.array([61343]), 11))
    numbers = scene.uniform(scene.draw("train", np.array([61343]), 11).key, "picture", 25).astype(np.float32)
    assert numbers.max() == 1
