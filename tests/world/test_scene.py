"""Scenes: deterministic, disjoint between splits, and twins that differ in one thing."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.world import scene

ROWS = np.arange(3000)


def same(a: scene.Scenes, b: scene.Scenes) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.sampled_from(scene.SPLITS), st.integers(0, 2**32))
def test_a_scene_depends_on_its_row_and_seed_only(rows, split, seed):
    together = scene.draw(split, np.array(rows), seed)
    for i, row in enumerate(rows):
        assert same(scene.draw(split, np.array([row]), seed), together[i : i + 1])


def test_seeds_and_splits_give_other_scenes():
    a = scene.draw("train", ROWS, seed=0)
    for other in (scene.draw("train", ROWS, seed=1), scene.draw("validation", ROWS, seed=0)):
        assert (a.id == other.id).mean() < 0.01 and not (a.key == other.key).any()


def test_splits_are_disjoint_by_construction():
    drawn = {split: scene.draw(split, ROWS, seed=5) for split in scene.SPLITS}
    ids = {split: set(scenes.id.tolist()) for split, scenes in drawn.items()}
    assert not ids["train"] & ids["validation"] and not ids["train"] & ids["compositional"]
    for split, scenes in drawn.items():
        for other in scene.SPLITS:
            assert scene.belongs(scenes, other).all() == (other == split)
            assert scene.belongs(scenes, other).any() == (other == split)


def test_a_held_out_combination_is_in_every_compositional_scene_and_nowhere_else():
    held = set(enumerate(scene.HELD_OUT))
    for split in scene.SPLITS:
        scenes = scene.draw(split, ROWS)
        shown = [
            set(zip(s[p].tolist(), c[p].tolist(), strict=True))
            for s, c, p in zip(scenes.shape, scenes.colour, scenes.present, strict=True)
        ]
        assert all(bool(pairs & held) == (split == "compositional") for pairs in shown)
    # every colour and every shape is trained on, only not together
    train = scene.draw("train", ROWS)
    assert set(train.shape[train.present].tolist()) == set(range(6)) and set(train.colour[train.present].tolist()) == set(
        range(8)
    )


def test_every_factor_takes_all_its_values_about_equally_often():
    scenes = scene.draw("train", np.arange(20_000))
    for part, values in ((scenes.shape, 6), (scenes.texture, 3), (scenes.size, 2), (scenes.place, 9)):
        share = np.bincount(part[scenes.present], minlength=values) / scenes.present.sum()
        assert abs(share * values - 1).max() < 0.05
    assert abs(np.bincount(scenes.count)[1:] / len(scenes) - [0.2, 0.4, 0.4]).max() < 0.02


def test_objects_are_in_the_order_of_their_places_which_differ():
    scenes = scene.draw("train", ROWS)
    place = np.where(scenes.present, scenes.place, 9 + np.arange(3))
    assert (np.diff(place, axis=1) > 0).all()
    assert (scenes.shape[~scenes.present] == -1).all()


def test_distinct_scenes_are_distinct_and_a_longer_gallery_begins_with_the_shorter():
    gallery = scene.distinct("validation", 1000)
    assert len(set(gallery.id.tolist())) == len(gallery) == 1000
    assert same(scene.distinct("validation", 300), gallery[:300])


def test_an_id_is_shared_by_equal_objects_only():
    scenes = scene.draw("train", np.arange(50_000))
    objects = np.stack([getattr(scenes, f.name) for f in fields(scenes)[:-1]], -1).reshape(len(scenes), -1)
    assert len(np.unique(objects, axis=0)) == len(np.unique(scenes.id))


def test_twins_differ_in_one_factor_of_one_object_or_in_an_exchange():
    scenes = scene.draw("train", ROWS)
    twins = scene.twins(scenes)
    assert (twins.count == scenes.count).all() and (twins.key == scenes.key).all()
    changed = twins.id != scenes.id
    assert 0.75 < changed.mean() < 1
    for a, b in zip(scenes[changed][:500].id, twins[changed][:500].id, strict=True):
        assert a != b
    by_place = np.zeros((2, len(scenes), 9, 4), np.int64)
    for which, s in enumerate((scenes, twins)):
        rows, columns = np.nonzero(s.present)
        parts = np.stack([s.shape, s.colour, s.texture, s.size], -1)
        by_place[which, rows, s.place[rows, columns]] = parts[rows, columns] + 1
    differs = (by_place[0] != by_place[1]).any(-1).sum(1)
    assert differs.max() <= 2 and (differs[changed] > 0).all()
    which = (by_place[0] != by_place[1]).any(1)[changed]
    alone = which[which.sum(1) == 1].sum(0) / changed.sum()
    assert (alone > 0.08).all(), f"shape, colour, texture and size each tell some twins apart alone: {alone}"


def test_the_two_in_focus_are_two_where_there_are_two():
    scenes = scene.draw("train", ROWS)
    first, second = scene.focus(scenes)
    assert ((first != second) == (scenes.count > 1)).all() and (np.maximum(first, second) < scenes.count).all()


def test_an_unknown_split_and_an_impossible_gallery_are_errors():
    with pytest.raises(ValueError, match="'test' is none of"):
        scene.draw("test", ROWS)
    lone = scene.distinct("validation", 2000)
    assert len(lone) == 2000


def test_uniform_numbers_are_uniform_and_uncorrelated():
    u = scene.uniform(scene.draw("train", np.arange(20_000)).key, "anything", 4)
    assert abs(u.mean(0) - 0.5).max() < 0.01 and abs(u.var(0) * 12 - 1).max() < 0.05
    assert abs(np.corrcoef(u.T) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(u[:, 0], scene.uniform(scene.draw("train", np.arange(20_000)).key, "other", 1)[:, 0])[0, 1]) < 0.03
