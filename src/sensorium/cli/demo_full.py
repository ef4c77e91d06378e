"""What `sensorium demo --full` learns beside the space: to tell, to answer, to paint, to play; and the sheets that show it."""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.cli.training import train_with_bar
from sensorium.data.questions import even
from sensorium.data.synthetic import RENDERERS
from sensorium.recipes import WORLDLY
from sensorium.recipes.clips import MOVING
from sensorium.recipes.clips import OPEN as MOVING_OPEN
from sensorium.recipes.questions import types_of
from sensorium.run import Run
from sensorium.sensorium import Sensorium
from sensorium.show import Made, Measure, Sheet, Shown
from sensorium.truth import JUDGES, OPEN, fulfilled
from sensorium.world import caption, motion, scene
from sensorium.world.caption import LISTS, Thing
from sensorium.world.judge_text import read
from sensorium.world.scene import Scenes

LEARNED: Mapping[str, Mapping[str, Any]] = {
    "captions": {},
    "questions": {},
    "pictures": {},
    "sounds": {},
    "clips": {},
    "anything": {"targets": ("image", "text")},
}
"""The recipes, and their dials."""
SPLITS = {"validation": "scenes never seen", "compositional": "combinations never seen"}
TOLD = {
    "exact": "everything right",
    "attributes": "attributes right",
    "accuracy": "answers right",
    "motion": "motions right",
    "asked": "what was asked for, where much was left open",
    "planned": "the same of the plans alone",
}
"""What the sheets call what was measured."""
SAMPLES = 10


def learn_all(
    out: Path, space: Path, seed: int, learned: Mapping[str, Mapping[str, Any]] = LEARNED
) -> tuple[dict[str, Any], list[Sheet]]:
    """Trains each of some recipes into a folder of its name: the numbers, by recipe, and a sheet for each. `space`: the run that
    `anything` begins with."""
    numbers: dict[str, Any] = {}
    sheets = []
    for name, dials in learned.items():
        given = {**dials, **({"init": space} if name == "anything" else {})}
        run = train_with_bar(WORLDLY[name](**given, seed=seed), out / name, overwrite=True)
        numbers |= {f"{name}/{key}": value for key, value in run.metrics.items()}
        numbers[f"{name}/seconds"] = run.history[-1]["seconds"]
        sheets.append(SHEETS[name](run))
    return numbers, sheets


def _captions(run: Run) -> Sheet:
    scenes = scene.distinct("validation", SAMPLES)
    pictures = RENDERERS["image"](scenes, LISTS)
    told = run.sensorium.caption(pictures)
    made = []
    for picture, text, things in zip(pictures, told, caption.objects(scenes), strict=True):
        found = read(str(text))
        right, wrong = _compared(things, [] if found is None else found.things)
        made.append(Made(_picture(picture), Shown(str(text), correct=right), wrong))
    return Sheet("What a picture shows, in words", _note(run), _measures(run, "exact", "attributes"), made)


def _questions(run: Run) -> Sheet:
    scenes, drawn = even("validation", 3, types_of("image"))
    pictures = RENDERERS["image"](scenes, LISTS)
    answers = run.sensorium.ask([pictures[one.row] for one in drawn], [one.question for one in drawn])
    made = []
    for one, answer in zip(drawn, answers, strict=True):
        right = str(answer) == one.answer
        truth = "" if right else f"it is: {one.answer}"
        made.append(Made(_picture(pictures[one.row], one.question), Shown(str(answer), correct=right), truth))
    return Sheet("Questions about pictures", _note(run), _measures(run, "accuracy"), made)


def _from_words(
    run: Run, title: str, target: str, most: int, styles: tuple[float, ...] = LISTS, asked_in: tuple[float, ...] = OPEN
) -> Sheet:
    scenes = scene.distinct("validation", SAMPLES, most=most)
    texts, true = (RENDERERS[kind](scenes, styles) for kind in ("text", target))
    asked = [Shown(text, **_shown(target, one)) for text, one in zip(texts, true, strict=True)]  # and as the world has it
    things = run.sensorium.generate(target, text=[one.caption for one in asked])
    names = ("motion", "exact", "asked", "planned") if target == "video" else ("exact", "attributes", "asked", "planned")
    made = _judged(run.sensorium, target, scenes, asked, things) + _planned(run.sensorium, target, most, asked_in)
    return Sheet(title, _note(run), _measures(run, *names), made)


def _planned(model: Sensorium, target: str, most: int, styles: tuple[float, ...]) -> list[Made]:
    """Of sentences that leave something open: with the plan that was made of each, and whether what came of it is true."""
    scenes = scene.distinct("validation", SAMPLES, 1, most)
    scenes = scenes[: SAMPLES // 2]
    texts = RENDERERS["text"](scenes, styles)
    plans = model.generate("plan", text=texts)
    things = model.generate(target, plan=plans)
    kind, out = model.field(target).kind, []
    found, moved = _read_back(kind, things)
    rights = fulfilled(texts, scenes.count, found, moved).tolist()
    for text, plan, thing, there, right in zip(texts, plans, things, caption.objects(found), rights, strict=True):
        shows = "" if right else "it shows " + ("; ".join(map(_said, there)) or "nothing")
        out.append(Made(Shown(text, label=f"planned: {plan}"), Shown(correct=right, **_shown(kind, thing)), shows))
    return out


def _anything(run: Run) -> Sheet:
    """Sounds to pictures: a direction that no decoder was trained for alone."""
    scenes = scene.distinct("validation", SAMPLES, most=2)
    heard = RENDERERS["audio"](scenes, LISTS)
    plans = run.sensorium.generate("plan", audio=heard)
    things = run.sensorium.generate("image", plan=plans)
    asked = [Shown(sound=one, label=f"heard: {plan}") for one, plan in zip(heard, plans, strict=True)]
    made = _judged(run.sensorium, "image", scenes, asked, things)
    return Sheet("Sounds painted, through the shared space", _note(run), _directions(run), made)


def _judged(model: Sensorium, target: str, scenes: Scenes, asked: list[Shown], things: list[Any]) -> list[Made]:
    kind = model.field(target).kind
    found, moved = _read_back(kind, things)
    motions = motion.draw(scenes).kind
    out = []
    for i, (thing, there, got) in enumerate(zip(things, caption.objects(scenes), caption.objects(found), strict=True)):
        right, wrong = _compared(there, got, "it shows {}")
        if moved is not None and moved[i] != motions[i]:
            right, wrong = False, "; ".join(filter(None, [wrong, f"it moves: {motion.MOTIONS[moved[i]]}"]))
        out.append(Made(asked[i], Shown(correct=right, **_shown(kind, thing)), wrong))
    return out


def _read_back(kind: str, things: list[Any]) -> tuple[Scenes, np.ndarray | None]:
    """The scenes that things show, and how they move, where they do."""
    arrays = {"image": lambda x: np.asarray(x), "audio": lambda x: x[0], "video": lambda x: x[0]}[kind]
    return JUDGES[kind](np.stack([arrays(thing) for thing in things]))


def _shown(kind: str, thing: Any) -> dict[str, Any]:
    """A thing of a kind, made or of the world, as an argument of `Shown`."""
    if isinstance(thing, np.ndarray):
        from PIL import Image as Pillow

        thing = Pillow.fromarray(thing)
    return {{"image": "picture", "audio": "sound", "video": "clip"}[kind]: thing}


def _compared(there: list[Thing], found: list[Thing], of: str = "“{}” is not there") -> tuple[bool, str]:
    """Whether what was found is what is there, and what of it is not (what is said `of` that)."""
    wrong = [of.format(_said(thing)) for thing in found if thing not in there]
    missing = [f"{_said(thing)} is missing" for thing in there if thing not in found]
    return not wrong and not missing, "; ".join([*wrong, *missing])


def _said(thing: Thing) -> str:
    return caption.sentence([thing], "list", [0.9, 0.0, 0.0, 0.0, 0.0])


def _picture(pixels: Any, text: str = "") -> Shown:
    return Shown(text, **_shown("image", pixels))


def _note(run: Run) -> str:
    return f"Trained for {run.history[-1]['seconds']:.0f} s."


def _measures(run: Run, *names: str) -> list[Measure]:
    keys = [(f"{split}/{name}", f"{TOLD[name]}, {SPLITS[split]}") for name in names for split in SPLITS]
    return [Measure(text, run.metrics[key], run.metrics.get(f"{key}/chance", np.nan)) for key, text in keys if key in run.metrics]


def _directions(run: Run) -> list[Measure]:
    out = []
    for split, name in product(SPLITS, ("exact", "attributes")):
        end = f"/{split}/{name}"
        for way in [key.removesuffix(end) for key in run.metrics if key.endswith(end)]:
            text = f"{TOLD[name]}, {way.replace('->', ' → ')}, {SPLITS[split]}"
            out.append(Measure(text, run.metrics[way + end], run.metrics[f"{way}{end}/chance"]))
    return out


SHEETS: Mapping[str, Callable[[Run], Sheet]] = {
    "captions": _captions,
    "questions": _questions,
    "pictures": lambda run: _from_words(run, "Pictures of what is said", "image", 2),
    "sounds": lambda run: _from_words(run, "Sounds of what is said", "audio", scene.MOST),
    "clips": lambda run: _from_words(run, "Clips of what is said", "video", 2, MOVING, MOVING_OPEN),
    "anything": _anything,
}
"""A trained recipe -> what it made."""
