"""Layouts: what they say of a picture is how it was painted, and of a clip how it goes."""

from itertools import pairwise

import numpy as np
import pytest

from sensorium.world import caption, clip, judge_text, layout, motion, picture, scene

SCENES = scene.draw("train", np.arange(200))
CLOCK = {"ccw": 1, "cw": -1}


def test_a_picture_is_painted_as_its_layout_says():
    alpha, _ = picture.sprites()
    painted = picture.render(SCENES)
    for row, said in enumerate(caption.render(SCENES, caption.LAYOUT)):
        expected = np.zeros((64, 64), np.float32)
        clauses = said.split(" and ")
        things = judge_text.read(said)
        assert things is not None and len(things.things) == len(clauses)
        for thing, clause in zip(things.things, clauses, strict=True):
            size, texture, _, shape, place = thing
            words = clause.split()
            turn, scale = layout.TURNED.index(words[-2]), layout.SCALED.index(words[-1])
            down, right = (next(names.index(w) for w in words if w in names) - 2 for names in (layout.DOWN, layout.RIGHT))
            y, x = picture.CENTRES[place // 3] + down - 12, picture.CENTRES[place % 3] + right - 12
            whole = np.zeros((112, 112), np.float32)  # with room for what is beyond the edges
            whole[y + 24 : y + 48, x + 24 : x + 48] = alpha[shape, size, texture, turn, scale]
            expected = np.maximum(expected, whole[24:88, 24:88])
        ground = np.median(painted[row].reshape(-1, 3), axis=0)
        seen = np.abs(painted[row].astype(np.float32) - ground).max(-1) > 8
        assert not seen[expected == 0].any(), said
        assert seen[expected > 0.5].mean() > 0.95, said


def test_the_words_of_layouts_are_degrees_pixels_and_hundredths():
    assert layout.TURNED == ("ccw11", "ccw6", "cw0", "cw6", "cw11") and layout.SCALED == ("scale94", "scale100", "scale106")
    assert layout.REACHED == ("reach80", "reach100", "reach120")
    assert len(layout.DOWN) == len(layout.RIGHT) == 2 * picture.JITTER + 1


def test_a_positive_turn_is_one_with_the_clock():
    alpha, _ = picture.sprites()
    star = alpha[scene.SHAPES.index("star"), 1, 0]  # the point of which is above the middle
    first = [np.average(np.arange(24) - 11.5, weights=star[turn, 1, :4].sum(0)) for turn in range(5)]
    assert first[0] < first[1] < first[2] < first[3] < first[4] and abs(first[2]) < 0.1


@pytest.mark.parametrize("turn", range(motion.TURNS))
def test_a_way_round_begins_and_goes_as_is_said(turn):
    motions = motion.Motions(np.array([motion.MOTIONS.index("circle")]), np.array([2]), np.array([turn]))
    [said] = layout.ways(motions)
    reach, _, side, clock = said.split()
    assert reach == "reach120"
    (down, right), *_ = steps = clip.offsets(int(motions.kind[0]), 2, turn)
    assert (np.sign(right), np.sign(down)) == {"right": (1, 0), "top": (0, -1), "left": (-1, 0), "bottom": (0, 1)}[side]
    area = sum(float(a[1] * -b[0] + a[0] * b[1]) for a, b in pairwise(steps))
    assert np.sign(area) == CLOCK[clock]


def test_straight_ways_say_how_far_and_rest_says_nothing():
    kinds = np.arange(len(motion.MOTIONS))
    said = layout.ways(motion.Motions(kinds, np.ones_like(kinds), np.zeros_like(kinds)))
    assert said[motion.MOTIONS.index("still")] == "" and said[motion.MOTIONS.index("left")] == " reach100"


def test_layouts_are_no_longer_than_is_said_and_of_known_words():
    said = caption.render(SCENES, caption.MOVING_LAYOUT)
    longest = max(len(one.split()) for one, n in zip(said, SCENES.count, strict=True) if n == 2)
    assert longest <= layout.most_words(2, moves=True) == 35
    known = {*caption.WORDS, *caption.MOTION_WORDS, *layout.WORDS}
    assert {word for one in said for word in one.split()} <= known
    assert not set(layout.WORDS) & {*caption.WORDS, *caption.MOTION_WORDS}
    assert [judge_text.motion_said(one) for one in said] == motion.draw(SCENES).kind.tolist()
