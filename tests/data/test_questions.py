"""The source of questions: answers that are true of the scenes shown, unlike questions, blanks where a scene has no more."""

from collections import Counter

import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Source
from sensorium.data.questions import Questions, chosen, even
from sensorium.modalities import Audio, Image, Sensor
from sensorium.recipes.questions import SHARES, texts, types_of
from sensorium.world import caption, motion, picture, question, scene

ASKED, ANSWERED = texts()
EVEN = dict.fromkeys(types_of("image"), 1.0)


def source(each: int = 4, **more) -> Questions:
    return Questions((Image(size=64),), ASKED, ANSWERED, more.pop("shares", EVEN), each, **more)


@pytest.mark.parametrize("split", ["train", "compositional"])
def test_every_answer_is_the_one_that_the_scene_gives(split):
    made, rows = source(5, split=split, seed=3, shares=SHARES), np.arange(80)
    batch, scenes = made.read(rows), scene.draw(split, rows, 3)
    assert isinstance(made, Source) and batch["question"].shape == (80, 5, ASKED.length)
    np.testing.assert_array_equal(batch["image"], picture.render(scenes))
    moved, seen = motion.draw(scenes).kind.tolist(), Counter()
    for things, kind, asked, answered in zip(caption.objects(scenes), moved, batch["question"], batch["answer"], strict=True):
        said = [ASKED.show(ids) for ids in asked]
        for one, ids in zip(said, answered, strict=True):
            assert ANSWERED.show(ids) == (question.answer(things, kind, one) if one else "")
        known = [one for one in said if one]
        assert len(known) >= 4 and len(set(known)) == len(known), "never twice in the same words"
        seen.update(known)
    assert len(seen) > 100
    for name in ("question", "answer"):
        assert (batch[f"{name}/mask"].sum(2) <= batch[name].shape[2]).all() and batch[f"{name}/here"].all()


def test_a_row_is_the_same_in_any_company_and_where_questions_end_the_rest_is_blank():
    made = source(4, shares={"count": 1.0, "relation": 1.0})
    together = made.read([5, 0, 99])
    for at, row in enumerate((5, 0, 99)):
        for key, x in made.read([row]).items():
            np.testing.assert_array_equal(x[0], together[key][at], err_msg=key)
    alone = [row for row in range(30) if scene.draw("train", np.array([row])).count[0] == 1]
    one = made.read(alone[:1])
    asked = one["question/mask"][0].any(1)
    assert asked.tolist() == [True, True, False, False], "two ways to ask how many there are, and nothing else"
    assert (one["question/mask"][0].any(1) == one["answer/mask"][0].any(1)).all()
    assert made.fingerprint() != source(4).fingerprint() and made.take([1, 2]).asked == 6


def test_types_are_drawn_by_their_shares():
    scenes = scene.draw("train", np.arange(400))
    counts = [Counter(one.type for row in chosen(scenes, 2, shares) for one in row) for shares in (EVEN, {**EVEN, "shape": 9.0})]
    assert counts[0].keys() == EVEN.keys() and counts[1]["shape"] > 1.7 * counts[0]["shape"]


def test_as_many_questions_of_each_type_about_the_scenes_that_they_are_asked_of():
    scenes, drawn = even("validation", 30, types_of("video"), seed=2)
    assert Counter(one.type for one in drawn) == dict.fromkeys(types_of("video"), 30)
    things, moved = caption.objects(scenes), motion.draw(scenes).kind.tolist()
    assert all(question.answer(things[one.row], moved[one.row], one.question) == one.answer for one in drawn)
    assert scene.belongs(scenes, "validation").all()
    assert even("validation", 30, types_of("video"), seed=2)[1] == drawn


def test_what_the_world_has_not_is_said():
    with pytest.raises(UnknownName, match=r"no questions of type 'color'.*'colour'"):
        source(shares={"color": 1.0})
    with pytest.raises(ValueError, match="each=0"):
        source(0)
    with pytest.raises(ValueError, match="above 0"):
        source(shares={"count": 0.0})
    assert Questions((Audio(), Sensor()), ASKED, ANSWERED, EVEN) and Questions((), ASKED, ANSWERED, EVEN)
