"""Sentences read back: the inverse of how scenes are told, and nothing that was not said."""

import pytest

from sensorium.world import caption, motion, scene
from sensorium.world.judge_text import motion_said, read


def test_what_a_list_says_is_read_back_whatever_its_words_and_order():
    scenes = scene.distinct("train", 400, seed=3)
    things, moved = caption.objects(scenes), motion.draw(scenes).kind.tolist()
    for variant in range(2):
        said = [read(sentence) for sentence in caption.render(scenes, "list", variant)]
        assert [sorted(one.things) if one else None for one in said] == [sorted(row) for row in things]
        assert all(one is not None and one.motion is None for one in said)
    told = caption.render(scenes, caption.MOTION)
    assert [motion_said(sentence) for sentence in told] == moved
    alone = [(read(sentence), row, kind) for sentence, row, kind in zip(told, things, moved, strict=True) if len(row) == 1]
    assert len(alone) > 40 and all(said == (row, kind) for said, row, kind in alone), "one thing is told with its place"


def test_synonyms_case_and_spaces_do_not_count():
    expected = [(0, 0, 1, 3, 4), (1, 2, 0, 5, 0)]
    one = read(" A little plain orange star in the middle and  a big dotted red ring in the top left")
    other = read("in the centre a small orange star and in the top left a large dotted red ring")
    assert one is not None and other is not None and one.things == other.things == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "a red circle above a blue square",
        "a red circle in the left",  # no size
        "a small red circle",  # no place
        "a small red circle in the left and",
        "a small red circle in the left and a large blue star in the left",
        "a small striped plain red circle in the left",
        "a small red circle in the left and a small red circle in the top and a small red circle in the right and a small red "
        "circle in the bottom",
    ],
)
def test_what_does_not_say_all_is_not_read(sentence):
    assert read(sentence) is None and motion_said(sentence) is None
