"""Agreement by hand, its invariances, and what guessing gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.world import caption, scene
from sensorium.world.compare import FACTORS, agreement, chance
from sensorium.world.scene import Scenes

RED, BLUE = (1, 0, 0, 1, 4), (0, 1, 5, 0, 0)  # a large plain red square in the centre, a small striped blue circle top left


def of(*things: caption.Thing) -> Scenes:
    return caption.scenes([list(things)])


def only(found: Scenes, true: Scenes) -> dict[str, float]:
    return {name: round(float(value[0]), 4) for name, value in agreement(found, true).items()}


def test_by_hand():
    parts = dict.fromkeys(FACTORS, 1.0)
    assert only(of(RED, BLUE), of(BLUE, RED)) == {"exact": 1, "count": 1, **parts, "attributes": 1}
    assert only(of(RED), of(RED, BLUE)) == {"exact": 0, "count": 0, **dict.fromkeys(FACTORS, 0.5), "attributes": 0.5}
    green = (1, 0, 3, 1, 4)
    assert only(of(green, BLUE), of(RED, BLUE)) == {"exact": 0, "count": 1, **parts, "colour": 0.5, "attributes": 0.9}
    moved = (*RED[:4], 5)
    third = dict.fromkeys(FACTORS, round(1 / 3, 4))
    assert only(of(moved, BLUE), of(RED, BLUE)) == {"exact": 0, "count": 1, **third, "attributes": round(1 / 3, 4)}
    assert only(of(), of(RED)) == {"exact": 0, "count": 0, **dict.fromkeys(FACTORS, 0), "attributes": 0}
    assert only(of(), of()) == {"exact": 1, "count": 1, **parts, "attributes": 1}


def test_what_is_invented_is_wrong_beyond_what_a_scene_holds_too():
    three = [(1, 0, 0, 1, place) for place in (0, 1, 2)]
    four = only(of(*three, RED), of(*three))
    assert four["exact"] == four["count"] == 0 and four["place"] == 0.75
    twice = only(of(RED, RED), of(RED))
    assert twice["exact"] == twice["count"] == 0 and twice["shape"] == 0.5
    assert only(of(RED, (*BLUE[:4], 4)), of(RED))["colour"] == 0.5, "the first of two at one place is the one that is matched"


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_it_is_symmetric_between_0_and_1_and_1_of_itself(one: int, other: int):
    a, b = (scene.draw("train", np.arange(4), seed) for seed in (one, other))
    there, back, same = agreement(a, b), agreement(b, a), agreement(a, a)
    for name, value in there.items():
        assert ((value >= 0) & (value <= 1)).all() and np.array_equal(value, back[name])
        assert (same[name] == 1).all() and value.dtype == np.float32
    assert (there["exact"] == (a.id == b.id)).all() and (there["exact"] <= there["attributes"]).all()
    assert all((there[name] <= there["place"]).all() for name in FACTORS)


def test_chance_is_what_independent_draws_get():
    true, guesses = scene.draw("validation", np.arange(300), 1), scene.draw("validation", np.arange(400), 2)
    line = chance(true, guesses)
    pairs = [agreement(guesses[np.full(300, i)], true) for i in range(0, 400, 8)]
    drawn = {name: np.mean([pair[name] for pair in pairs]) for name in line}
    assert line == pytest.approx(drawn, abs=0.01)
    assert line["count"] == pytest.approx(0.2**2 + 0.4**2 + 0.4**2, abs=0.03)
    one = scene.draw("train", np.arange(2000), 3)
    one = one[one.count == 1]
    assert chance(one, one[::-1])["place"] == pytest.approx(1 / 9, abs=0.01)
    assert chance(one, one[::-1])["colour"] == pytest.approx(1 / 9 / 7.3, abs=0.005)  # each shape lacks one colour of eight


def test_unequal_and_no_scenes_are_told():
    with pytest.raises(ValueError, match="2 scenes found and 1 true"):
        agreement(caption.scenes([[RED], [RED]]), of(RED))
    with pytest.raises(ValueError, match="0 guesses"):
        chance(of(RED), of(RED)[:0])
