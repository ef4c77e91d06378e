"""Captions: true, complete where they claim to be, with words of the grammar only; swaps are false."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.errors import UnknownName
from sensorium.world import caption, judge, judge_text, layout, motion, scene

SCENES = scene.draw("train", np.arange(400))
OBJECTS = caption.objects(SCENES)


@given(st.sampled_from((*caption.STYLES, caption.READING)), st.integers(0, 1000))
def test_a_caption_is_true_of_its_scene_and_of_the_grammar(style, variant):
    said = caption.render(SCENES, style, variant)
    assert all(judge.true(things, one) for things, one in zip(OBJECTS, said, strict=True))
    assert {word for one in said for word in one.split()} <= set(caption.WORDS)
    assert max(len(one.split()) for one in said) <= caption.MOST_WORDS


def test_a_list_says_everything():
    """What is false of all other scenes of a gallery names one scene: a ceiling of 1 for retrieval by lists."""
    gallery = scene.distinct("validation", 150)
    objects = caption.objects(gallery)
    for said, own in zip(caption.render(gallery, "list"), objects, strict=True):
        truths = [things for things in objects if judge.true(things, said) and len(things) == len(own)]
        plain = [t for t in truths if all((a[1] == 0) == (b[1] == 0) for a, b in zip(t, own, strict=True))]
        assert plain == [own]


def test_in_reading_order_each_thing_comes_after_its_place():
    things = [(1, 0, 0, 0, 7), (0, 1, 1, 5, 0), (1, 2, 2, 1, 4)]
    said = caption.sentence(things, caption.READING, [0.9, 0.0, 0.0, 0.0, 0.0])
    assert said.index("in the top left a small striped orange") == 0 and said.index("centre") < said.index("bottom")
    for sentence, own in zip(caption.render(SCENES, caption.READING), OBJECTS, strict=True):
        read = judge_text.read(sentence)
        assert read is not None and [thing[4] for thing in read.things] == [thing[4] for thing in own]
        assert sentence.startswith("in the ") and sentence.count(" and in the ") == len(own) - 1
    assert set(caption.styles(SCENES, (0, 0, 0, 0, 1))) == {caption.READING}


def test_a_moving_list_is_a_list_and_how_everything_moves():
    lists, moved = caption.render(SCENES, "list"), caption.render(SCENES, caption.MOVING_LIST)
    assert all(sentence.startswith(f"{one} ") for sentence, one in zip(moved, lists, strict=True))
    assert [judge_text.motion_said(one) for one in moved] == motion.draw(SCENES).kind.tolist()
    assert set(caption.styles(SCENES, (0, 0, 0, 0, 0, 1))) == {caption.MOVING_LIST}


def test_a_plan_says_all_of_each_thing_always_in_the_same_words():
    things = [(0, 0, 0, 0, 7), (1, 1, 1, 5, 4)]
    said = "in the bottom a small plain red circle and in the centre a large striped orange ring"
    assert caption.sentence(things, caption.PLAN, [0.99] * 5) == caption.sentence(things, caption.PLAN, [0.0] * 5) == said
    plans, others = (caption.render(SCENES, caption.PLAN, variant) for variant in (0, 1))
    lists = caption.render(SCENES, "list")
    for plan, other, told, own in zip(plans, others, lists, OBJECTS, strict=True):
        read, as_told = judge_text.read(plan), judge_text.read(told)
        assert read is not None and as_told is not None and read.things == as_told.things, "in the order in which it is told"
        assert sorted(read.things, key=lambda thing: thing[4]) == own
        assert sorted(plan.split(" and ")) == sorted(other.split(" and ")), "of another variant the order differs, and no word"


def test_a_layout_is_a_plan_with_details_and_a_moving_one_says_how_everything_moves():
    plans, laid, moved = (caption.render(SCENES, style) for style in (caption.PLAN, caption.LAYOUT, caption.MOVING_LAYOUT))
    for plan, own, one, details in zip(plans, laid, moved, layout.details(SCENES), strict=True):
        assert " ".join(word for word in own.split() if word not in layout.WORDS) == plan and one.startswith(own)
        asides = {" ".join((*where.split(), *how.split())) for where, how in details}
        said = {" ".join(word for word in clause.split() if word in layout.WORDS) for clause in own.split(" and ")}
        assert said == asides
    phrases = [caption.PHRASES[motion.MOTIONS[kind]][0] for kind in motion.draw(SCENES).kind]
    ends = [phrase + way for phrase, way in zip(phrases, layout.ways(motion.draw(SCENES)), strict=True)]
    assert moved == [f"{one} {end}" for one, end in zip(laid, ends, strict=True)]
    assert all(one.endswith(f" {end}") for one, end in zip(caption.render(SCENES, caption.MOVING_LAYOUT, 1), ends, strict=True))


@pytest.mark.parametrize(
    ("as_told", "in_order"),
    [(caption.LAYOUT, caption.READING_LAYOUT), (caption.MOVING_LAYOUT, caption.MOVING_READING_LAYOUT)],
)
def test_a_layout_in_reading_order_is_one_of_the_same_words_by_place(as_told, in_order):
    told, laid = (caption.render(SCENES, style) for style in (as_told, in_order))
    for one, other, own in zip(told, laid, OBJECTS, strict=True):
        assert sorted(one.split()) == sorted(other.split())
        read = judge_text.read(" ".join(w for w in other.split() if w not in layout.WORDS).partition(" moving ")[0])
        assert in_order == caption.MOVING_READING_LAYOUT or (read is not None and read.things == own)
        places = [i for clause in other.split(" and ") for i, p in enumerate(caption.PLACES) if f"in the {p} " in f"{clause} "]
        assert len(own) == 1 or places[0] <= places[-1]
    assert caption.render(SCENES, in_order, 3) == laid != told, "one way to say it, whatever the variant"


def test_weights_of_styles_by_their_names():
    assert caption.weights(list=1, moving_layout=2) == (1.0, *[0.0] * 9, 2.0, 0.0, 0.0)
    drawn = caption.styles(SCENES, caption.weights(short=1, moving_loose=1))
    assert set(drawn) == {"short", caption.MOVING_LOOSE}
    with pytest.raises(UnknownName, match="no style is called 'moving_lists'"):
        caption.weights(list=1, moving_lists=1)


def test_captions_do_not_depend_on_their_neighbours_and_variants_differ():
    together = caption.render(SCENES, "list", 1)
    assert together[7:8] == caption.render(SCENES[7:8], "list", 1)
    assert np.mean([a != b for a, b in zip(together, caption.render(SCENES, "list", 2), strict=True)]) > 0.7


def test_styles_are_drawn_with_their_weights():
    drawn = caption.styles(scene.draw("train", np.arange(5000)), (0.5, 0.2, 0.3))
    assert [round(drawn.count(style) / 5000, 1) for style in caption.STYLES] == [0.5, 0.2, 0.3]
    assert set(caption.styles(SCENES, (0, 0, 1))) == {"short"}


def test_relations_by_hand():
    assert caption.relations(0, 8) == ["above", "left of"] and caption.relations(8, 0) == ["below", "right of"]
    assert caption.relations(1, 7) == ["above"] and caption.relations(5, 3) == ["right of"]


def test_a_swap_is_false_its_original_true_and_they_hold_the_same_words():
    rows, true, false = caption.swaps(SCENES)
    assert len(rows) > 200
    for row, good, bad in zip(rows, true, false, strict=True):
        assert judge.true(OBJECTS[row], good) and not judge.true(OBJECTS[row], bad)
        words = [sorted(word for word in one.split() if word not in ("a", "an")) for one in (good, bad)]
        assert words[0] == words[1] and good != bad


def test_the_judge_of_sentences_by_hand():
    things = [(0, 1, 0, 0, 1), (1, 0, 5, 1, 7)]  # small striped red circle at the top, large plain blue square at the bottom
    assert judge.true(things, "a red circle above a blue square")
    assert judge.true(things, "a big blue square below a little striped red circle")
    assert judge.true(things, "in the top a small striped red circle and in the bottom a large blue square")
    assert not judge.true(things, "a blue square above a red circle")
    assert not judge.true(things, "a red circle left of a blue square")
    assert not judge.true(things, "a dotted red circle above a blue square")
    assert not judge.true(things, "a small red circle in the bottom")
    with pytest.raises(ValueError, match="no clause of the grammar"):
        judge.true(things, "a red elephant in the top")


def test_an_is_said_before_a_vowel():
    things = [(0, 0, 1, 3, 1), (0, 0, 1, 3, 7)]
    assert caption.sentence(things, "short", [0.0] * 5) == "an orange star above an orange star"


def test_loose_sentences_are_true_and_say_of_everything_some_or_all():
    said = caption.render(SCENES, caption.LOOSE)
    things = caption.objects(SCENES)
    assert all(judge.true(own, one) for own, one in zip(things, said, strict=True))
    articles = [sum(word in ("a", "an") for word in one.split()) for one in said]
    assert articles == SCENES.count.tolist(), "each thing is named, once"
    sizes = [sum(word in sum(caption.SIZE_WORDS, ()) for word in one.split()) for one in said]
    assert 0.45 < sum(sizes) / sum(articles) < 0.55
    placed = [one.count(" in the ") + one.startswith("in the ") for one in said]
    related = np.mean([any(f" {way} a" in one for way in caption.RELATIONS) for one in said])
    assert 0.15 < related < 0.35 and 0.3 < sum(placed) / sum(articles) < 0.5
    moving = caption.render(SCENES, caption.MOVING_LOOSE)
    assert all(b.startswith(a + " ") for a, b in zip(said, moving, strict=True))
    assert caption.render(SCENES[:3], caption.LOOSE) == said[:3], "in any company"
