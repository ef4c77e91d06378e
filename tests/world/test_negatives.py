"""Hard negatives and paraphrases: the truth of each as the judge has it."""

import numpy as np
import pytest

from sensorium.world import caption, judge, negatives, scene

SCENES = scene.draw("train", np.arange(400))
OBJECTS = caption.objects(SCENES)
ENOUGH = {"swap": 200, "replace": 300, "add": 350, "negate": 390}


@pytest.mark.parametrize("kind", negatives.KINDS)
def test_the_first_is_true_and_the_second_false(kind):
    pairs = negatives.negatives(SCENES, kind)
    assert len(pairs) >= ENOUGH[kind] and len({pair.row for pair in pairs}) == len(pairs)
    for row, true, false in pairs:
        assert judge.true(OBJECTS[row], true) and not judge.true(OBJECTS[row], false)
        assert set(true.split()) <= set(caption.WORDS) and set(false.split()) <= {*caption.WORDS, *negatives.WORDS}


def test_each_kind_changes_what_it_says():
    for _, true, false in negatives.negatives(SCENES, "replace"):
        words = [[w for w in one.replace(" of", "").split() if w not in ("a", "an")] for one in (true, false)]
        assert len(words[0]) == len(words[1]) and sum(a != b for a, b in zip(*words, strict=True)) == 1
    for _, true, false in negatives.negatives(SCENES, "add"):
        assert false.startswith(f"{true} and a") and len(false.split()) == len(true.split()) + 4
    for _, true, false in negatives.negatives(SCENES, "negate"):
        assert false.replace(" not ", " ") == true or false.replace("no ", "") == true.split(" ", 1)[1]


def test_paraphrases_say_one_thing():
    pairs = negatives.paraphrases(SCENES)
    assert len(pairs) > 250
    for row, one, other in pairs:
        assert one != other and judge.true(OBJECTS[row], one) and judge.true(OBJECTS[row], other)
    for one, other in {pair[1:] for pair in pairs}:  # of every scene either both hold or neither
        assert all(judge.true(things, one) == judge.true(things, other) for things in OBJECTS[:60])


def test_the_judge_of_no_and_not_by_hand():
    things = [(0, 1, 0, 0, 1), (1, 0, 5, 1, 7)]  # a small striped red circle at the top, a large plain blue square at the bottom
    assert judge.true(things, "no green star") and not judge.true(things, "no red circle")
    assert judge.true(things, "no dotted red circle")
    assert judge.true(things, "a blue square not above a red circle")
    assert not judge.true(things, "a red circle not above a blue square")
    assert not judge.true(things, "a green star not above a blue square"), "where there is no star, nothing is said of it"


def test_a_scene_gives_the_same_in_any_company():
    for kind in negatives.KINDS:
        alone = negatives.negatives(SCENES[30:40], kind)
        together = [pair for pair in negatives.negatives(SCENES, kind) if 30 <= pair.row < 40]
        assert [pair[1:] for pair in alone] == [pair[1:] for pair in together]
