"""Questions: true answers, which nobody can guess without looking."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from sensorium.world import caption, judge_motion, motion, question, scene, trace
from sensorium.world.question import TYPES

SCENES = {split: scene.draw(split, np.arange(6000)) for split in scene.SPLITS}
ASKED = {split: question.ask(scenes) for split, scenes in SCENES.items()}


@pytest.mark.parametrize("split", scene.SPLITS)
def test_the_best_answer_without_looking_gains_next_to_nothing(split):
    """Of each type, over at least 5,000 questions in all: the commonest answer, at most 1.2 × chance; of the 48 things that may
    lie beside another, each is the answer some 50 times, and the commonest of so many at most 1.6 × chance."""
    given: dict[str, Counter[str]] = defaultdict(Counter)
    for one in ASKED[split]:
        given[one.type][one.answer] += 1
    assert given.keys() == TYPES.keys() and sum(n.total() for n in given.values()) >= 5000
    for type, answers in given.items():
        assert set(answers) <= set(TYPES[type]) and answers.total() > 1500
        most = 1.6 if type == "beside" else 1.2
        assert max(answers.values()) / answers.total() <= most / len(TYPES[type]), (type, answers)


@pytest.mark.parametrize("split", scene.SPLITS)
def test_nor_does_the_question_give_the_answer_away(split):
    """The commonest answer to the same words, learned from half of the scenes and given on the other half."""
    learned: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in ASKED[split]:
        if one.row < 3000:
            learned[one.type, one.question][one.answer] += 1
    right: dict[str, list[bool]] = defaultdict(list)
    for one in ASKED[split]:
        if one.row >= 3000 and (said := learned.get((one.type, one.question))):
            right[one.type].append(said.most_common(1)[0][0] == one.answer)
    for type, hits in right.items():
        if len(hits) > 1000:
            assert np.mean(hits) <= 1.3 / len(TYPES[type]), type


@pytest.mark.parametrize("split", scene.SPLITS)
def test_what_is_not_there_is_nearly_there_and_could_be(split):
    """It has the colour or the shape of something; one in eight or more, the colour of one thing and the shape of another."""
    things, crossed, absent = caption.objects(SCENES[split]), 0, 0
    for one in ASKED[split]:
        if one.type != "there":
            continue
        colour, shape = (
            names.index(word) for names, word in zip((scene.COLOURS, scene.SHAPES), one.question.split()[-2:], strict=True)
        )
        own = {thing[2:4] for thing in things[one.row]}
        assert scene.HELD_OUT[shape] != colour and ((colour, shape) in own) == (one.answer == "yes")
        near = colour in {c for c, _ in own}, shape in {s for _, s in own}
        assert any(near)
        absent, crossed = absent + (one.answer == "no"), crossed + (one.answer == "no" and all(near))
    assert absent > 1000 and crossed / absent > 1 / 8


def test_answers_are_true_of_the_scene_by_hand():
    things = [(0, 1, 0, 0, 1), (1, 0, 5, 1, 7)]  # a small striped red circle at the top, a large plain blue square at the bottom
    expected = {
        "how many things are there": "two",
        "what colour is the circle": "red",
        "which colour has the thing in the bottom": "blue",
        "which shape has the blue thing": "square",
        "what shape is the thing in the top": "circle",
        "where is the red circle beside the blue square": "above",
        "how does the blue square lie to the red circle": "below",
        "is the red circle small or large": "small",
        "how large is the blue square": "large",
        "is there a red circle": "yes",
        "can you see a blue square": "yes",
        "is there a red square": "no",
        "can you see a green circle": "no",
        "how does everything move": "up",
        "where is the red circle": "top",
        "in which place is the blue square": "bottom",
        "what is below the red circle": "blue square",
        "what lies above the blue square": "red circle",
    }
    for asked, answer in expected.items():
        assert question.answer(things, motion.MOTIONS.index("up"), asked) == answer
    with pytest.raises(ValueError, match="0 answers"):
        question.answer(things, 0, "what colour is the star")
    with pytest.raises(ValueError, match="0 answers"):
        question.answer(things, 0, "what is left of the red circle")
    with pytest.raises(ValueError, match="2 answers"):
        question.answer([*things, (0, 0, 2, 2, 6)], 0, "what is below the red circle")
    with pytest.raises(ValueError, match="no question of the world"):
        question.answer(things, 0, "why")


def test_the_answers_of_the_whole_are_those_of_what_is_read_back():
    """The motion felt in the trace answers as the scene does."""
    scenes = SCENES["validation"][:200]
    felt = judge_motion.motions_of_traces(trace.render(scenes)).tolist()
    things = caption.objects(scenes)
    asked = question.ask(scenes)
    assert asked == [one for one in ASKED["validation"] if one.row < 200], "a scene is asked the same in any company"
    for one in asked:
        assert question.answer(things[one.row], felt[one.row], one.question) == one.answer
        assert {*one.question.split(), *one.answer.split()} <= set(question.WORDS)
    assert question.ask(scenes, variant=1) != asked
