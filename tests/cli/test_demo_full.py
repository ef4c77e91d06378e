"""The sheets of `sensorium demo --full`: what a judge reads in what was made decides what is marked as right."""

from dataclasses import replace

import numpy as np
import pytest

from sensorium.cli import demo_full
from sensorium.cli.demo_full import SAMPLES, SHEETS
from sensorium.recipes import pictures
from sensorium.run import Run
from sensorium.sensorium import Sensorium
from sensorium.show import Report, write_report
from sensorium.world import clip, picture, scene


class Perfect(Sensorium):
    """Gives back the true renders of the scenes that are asked for, but for the first one, which is another's."""

    def __init__(self, fields, render):
        self.fields, self._render = fields, render

    def field(self, name):
        return next(field for field in self.fields if field.name == name)

    def generate(self, target, *, how=None, **sources):
        if target == "plan":
            return [f"plan {i}" for i in range(len(sources["text"]))]
        scenes = scene.distinct("validation", SAMPLES, most=2)
        if "plan" in sources:
            assert sources["plan"] == [f"plan {i}" for i in range(OPEN)]
            scenes = scene.distinct("validation", SAMPLES, 1, most=2)[:OPEN]
        made = self._render(scenes)
        return [made[1], *made[1:]]


def paint(scenes):
    from PIL import Image as Pillow

    return [Pillow.fromarray(one) for one in picture.render(scenes)]


OPEN = SAMPLES // 2
"""Sentences that leave something open."""
NUMBER = ("everything right, scenes never seen", 0.25, 0.01)
RENDER = {
    "pictures": paint,
    "clips": lambda scenes: [(one[:, ::2, ::2], clip.FPS) for one in clip.render(scenes)],
}


@pytest.mark.parametrize("name", sorted(RENDER))
def test_a_sheet_marks_what_is_right_and_says_what_is_wrong(name, tmp_path):
    from sensorium.modalities import Image, Video

    model = Perfect((Image(), Video()), RENDER[name])
    run = Run(model, [{"seconds": 61.0}], {"validation/exact": 0.25, "validation/exact/chance": 0.01})
    sheet = SHEETS[name](run)
    first, *others = sheet.made[:SAMPLES]
    wrong, *open_ones = sheet.made[SAMPLES:]
    assert len(open_ones) == OPEN - 1 and [one.asked.label for one in open_ones] == [f"planned: plan {i}" for i in range(1, OPEN)]
    assert not wrong.made.correct and wrong.read.startswith("it shows a")
    if name == "pictures":
        assert all(one.made.correct and not one.read for one in (*others, *open_ones))
        assert not first.made.correct and "it shows a" in first.read and "is missing" in first.read
        assert [(one.name, one.value, one.chance) for one in sheet.measures] == [
            ("everything right, scenes never seen", 0.25, 0.01)
        ]
    else:
        assert np.mean([bool(one.made.correct) for one in others]) >= 0.8, "halved by leaving pixels out, not by their mean"
    page = tmp_path / "report.html"
    write_report(Report("made", "sensorium demo --full", "all of it", {}, sheets=[sheet]), page)
    assert "planned: plan 1" in page.read_text(encoding="utf-8")
    text = page.read_text()
    kind = "image/png" if name == "pictures" else "image/webp"
    assert text.count(f'src="data:{kind}') == 2 * SAMPLES + OPEN, "what was asked for, as the world has it, and what was made"
    if name == "pictures":
        true = picture.render(scene.distinct("validation", SAMPLES, most=2))
        assert all((np.asarray(one.asked.picture) == shown).all() for one, shown in zip(sheet.made[:SAMPLES], true, strict=True))
    assert first.read in text.replace("&#39;", "'")
    assert text.count("✓ right") == sum(bool(one.made.correct) for one in sheet.made)


def test_what_was_trained_a_little_is_judged_as_it_is():
    """A real model of a recipe goes all the way: its pictures are judged, and none of them is right yet."""
    experiment = pictures(steps=1, batch=2, width=16, depth=1)
    model = Sensorium(experiment.model.build(0), experiment.fields, experiment.model)
    sheet = demo_full.SHEETS["pictures"](Run(model, [{"seconds": 0.0}], {}))
    assert len(sheet.made) == SAMPLES + OPEN and not any(one.made.correct for one in sheet.made) and not sheet.measures


def test_sounds_are_compared_thing_by_thing():
    things = [(0, 0, 0, 0, 4), (1, 1, 2, 3, 0)]
    assert demo_full._compared(things, things) == (True, "")
    right, wrong = demo_full._compared(things, [things[0], (1, 1, 2, 3, 1)])
    assert not right
    assert (
        wrong == "“a large striped yellow star in the top” is not there; a large striped yellow star in the top left is missing"
    )


def test_a_clip_that_moves_as_asked_and_shows_other_things_is_not_right():
    from sensorium.modalities import Video

    def recoloured(scenes):
        changed = np.where(scenes.colour < 0, -1, (scenes.colour + 1) % len(scene.COLOURS))
        return RENDER["clips"](replace(scenes, colour=changed))

    sheet = SHEETS["clips"](Run(Perfect((Video(),), recoloured), [{"seconds": 61.0}], {}))
    others = sheet.made[1:SAMPLES]
    assert not any(one.made.correct for one in others) and all(one.read.startswith("it shows a") for one in others)
    assert sum("it moves" in one.read for one in others) <= 2


class Listener(Perfect):
    """Plans what it hears by the number of the scene, and paints scenes by their numbers, but for the first one."""

    def generate(self, target, *, how=None, **sources):
        if target == "plan":
            return [f"plan {i}" for i in range(len(sources["audio"]))]
        scenes = scene.distinct("validation", SAMPLES, most=2)
        made = self._render(scenes[np.array([int(plan.split()[1]) for plan in sources["plan"]])])
        return [made[1], *made[1:]]


def test_sounds_are_shown_with_the_plan_that_was_heard_in_them():
    from sensorium.modalities import Image

    metrics = {"audio->image/validation/attributes": 0.5, "audio->image/validation/attributes/chance": 0.06}
    sheet = SHEETS["anything"](Run(Listener((Image(),), paint), [{"seconds": 61.0}], metrics))
    assert [one.asked.label for one in sheet.made] == [f"heard: plan {i}" for i in range(SAMPLES)]
    assert [bool(one.made.correct) for one in sheet.made] == [False] + [True] * (SAMPLES - 1)
    assert "is missing" in sheet.made[0].read and all(one.asked.sound is not None for one in sheet.made)
    assert [(one.name, one.value, one.chance) for one in sheet.measures] == [
        ("attributes right, audio → image, scenes never seen", 0.5, 0.06)
    ]
