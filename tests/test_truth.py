"""What is said of scenes against the truth: a perfect speaker, one with known mistakes, and both splits."""

from typing import Any

import numpy as np
import pytest

from sensorium import truth
from sensorium.modalities import Image, Text, Video
from sensorium.sensorium import Sensorium
from sensorium.world import caption, scene
from sensorium.world.judge_text import read


class Speaker(Sensorium):
    """Stands in for a model: says what it is told to say."""

    def __init__(self, say):
        self.say, self.asked = say, []

    def caption(self, things: list[Any], *, beams: int) -> list[str]:  # type: ignore[override]
        self.asked.append((len(things), beams))
        return self.say(len(things))


def test_a_perfect_speaker_is_right_in_all_and_a_guesser_at_chance():
    scenes = scene.distinct("validation", 300)
    right = truth.judged(scenes, caption.render(scenes, "list", 1))
    factors = ("exact", "count", "size", "texture", "colour", "shape", "place", "attributes", "true")
    assert all(right[name] == 1.0 for name in factors) and "motion" not in right
    assert right["exact/low"] > 0.98 and right["exact/chance"] < 0.02 < right["size/chance"] < 0.15


def test_mistakes_are_counted_where_they_are():
    things = [[(0, 0, 1, 3, 4), (1, 2, 0, 5, 0)], [(0, 1, 2, 2, 8)]]
    found = truth.agreement(things, [[(0, 0, 1, 3, 4), (1, 2, 7, 5, 0)], None])  # one colour wrong; one that cannot be read
    assert found["exact"] == 0.0 and found["count"] == 0.5 and found["place"] == found["shape"] == 0.5
    assert found["colour"] == pytest.approx(0.25) and found["attributes"] == pytest.approx(0.45)
    assert 0.0 <= found["exact/low"] < 1e-9 and found["exact/high"] == pytest.approx(0.658, abs=1e-3)


def test_motions_are_told_apart_from_what_else_a_sentence_says():
    scenes = scene.distinct("validation", 200)
    told = truth.judged(scenes, caption.render(scenes, caption.MOTION))
    assert told["true"] == told["motion"] == 1.0 and 0.03 < told["motion/chance"] < 0.25 and told["exact"] < 0.2
    assert truth.judged(scenes, ["it moves"] * 200)["true"] == 0.0


class Painter(Sensorium):
    """Stands in for a model: paints the scenes that it is asked for, `shift` places further, or with one thing more each;
    `plans` gives its plans of what it was asked."""

    def __init__(self, monkeypatch, shift: int = 0, more: bool = False, plans=None):
        self.said, self.shift, self.more, self.plans = [], shift, more, plans
        monkeypatch.setattr(truth.judge, "of_pictures", lambda made: made)

    @property
    def making(self):  # type: ignore[override]
        return self

    def field(self, name):
        return {"text": Text(), "image": Image(size=64)}[name]

    def parameters(self):
        return []

    def planned(self, leaves, raws, target, n, seed):
        return None if self.plans is None else {"plan": self.plans(raws["text"], seed)}

    def arrays(self, leaves, target, raws, n, how, seed):
        self.said = raws["text" if self.plans is None else "plan"]
        things = caption.objects(scene.distinct("validation", len(self.said), seed, 2))
        things = [things[(i + self.shift) % len(things)] for i in range(len(things))]
        free = [next(place for place in range(9) if place not in {t[4] for t in own}) for own in things]
        extra = [[(0, 0, 0, 0, place)] if self.more else [] for place in free]
        return caption.scenes([own + one for own, one in zip(things, extra, strict=True)])


def test_what_was_asked_for_holds_of_what_it_was_said_of_and_hardly_ever_of_the_next(monkeypatch):
    found = truth.asked_of(Painter(monkeypatch), "image", "validation", most=2, n=60, seed=5)
    assert found["asked"] == 1.0 and found["asked/chance"] < 0.1
    painter = Painter(monkeypatch, shift=1)
    found = truth.asked_of(painter, "image", "validation", most=2, n=60, seed=5)
    assert found["asked"] < 0.1 and found["asked/chance"] == 1.0
    assert len(painter.said) == 60 and sum(read(said) is None for said in painter.said) > 40
    found = truth.asked_of(Painter(monkeypatch, more=True), "image", "validation", most=2, n=60, seed=5)
    assert found["asked"] == 0.0, "true of it, but there is more than was asked for"


def test_plans_are_held_against_what_was_asked_whatever_is_made_of_them(monkeypatch):
    def plans(asked, seed):
        written = caption.render(scene.distinct("validation", 60, seed, 2), "list")
        broken = [f"{written[0]} and {written[0]}", "red", f"{written[2]} moving left"]
        return broken + written[3:]

    painter = Painter(monkeypatch, shift=1, plans=plans)
    found = truth.asked_of(painter, "image", "validation", most=2, n=60, seed=5)
    assert found["planned"] == 57 / 60, "but for two at one place, what cannot be read, and one of a picture that moves"
    assert found["planned/chance"] < 0.1 and found["asked"] < 0.1, "what is made is another thing"
    assert painter.said[3:] == plans([], 5)[3:], "of the plans that are measured, and of no others"


def test_plans_of_clips_say_how_things_move(monkeypatch):
    class Mover(Painter):
        def field(self, name):
            return {"text": Text(), "video": Video(size=64)}[name]

    def plans(asked, seed):
        scenes = scene.distinct("validation", 60, seed, 2)
        return caption.render(scenes, "list")[:9] + caption.render(scenes, caption.MOVING_LIST)[9:]

    monkeypatch.setitem(truth.JUDGES, "video", lambda made: (made, np.zeros(len(made), np.int64)))
    styles = caption.weights(motion=1, loose=1, moving_loose=1)
    found = truth.asked_of(Mover(monkeypatch, plans=plans), "video", "validation", most=2, styles=styles, n=60, seed=5)
    assert found["planned"] == 51 / 60, "a plan of a clip that says no motion is none"


def test_both_splits_are_measured_with_the_gap(monkeypatch):
    said = {
        split: caption.render(scene.distinct(split, 20, 5), "list" if split == "validation" else "short")
        for split in truth.SPLITS
    }
    made = Speaker(lambda n: said[turn.pop(0)])
    monkeypatch.setattr(truth, "shown", lambda model, scenes: [None] * len(scenes))
    turn = list(truth.SPLITS)
    out = truth.of_splits(lambda split: truth.captions_of(made, split, 20, 5, beams=3))
    assert made.asked == [(20, 3), (20, 3)] and out["validation/exact"] == 1.0
    assert out["gap/exact"] == 1.0 - out["compositional/exact"] > 0.5
