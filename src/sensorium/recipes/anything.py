"""Any sense of a trained space made from any other: decoders out of it, trained on vectors of the built-in world."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from flax import nnx

from sensorium.core.objective import Loss
from sensorium.core.protocols import Modality
from sensorium.core.table import Table
from sensorium.core.trainer import BadDial, Trainer
from sensorium.data.synthetic import World
from sensorium.encoders import ENCODERS
from sensorium.losses import Captioning, Weight
from sensorium.modalities import Audio, Image, Text, Video
from sensorium.models import AnyToAny
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.captions import words
from sensorium.recipes.clips import MOVES, SIDE, mover
from sensorium.recipes.makers import DRAWN, PLAN, PLANS, REFINING, WIDTH, denoising, layouts, slots, smoothed
from sensorium.recipes.pictures import painter
from sensorium.recipes.sounds import player
from sensorium.recipes.start import start_of
from sensorium.sensorium import Sensorium
from sensorium.training import Card, Experiment
from sensorium.training.experiment import Start
from sensorium.truth import Numbers, made_of, of_splits, there_and_back
from sensorium.world.caption import weights

WRITTEN = weights(reading=1)
"""What writers learn to say: in reading order and place first, as a vector has no order of its own. With lists two seeds of three
never learned whose colour is whose (docs/log.md)."""
PROMPTS = weights(list=3, relation=1, short=1, loose=1)
"""What is said to it: half of it leaves nothing open, and the rest what people leave out."""
LAYOUTS, MOVING_LAYOUTS = weights(reading_layout=1), weights(moving_reading_layout=1)
PREFIX = 16
"""Tokens that are made of a vector: see `Prefix`, and docs/log.md for what they change."""
WRITING = 3.0
"""How much faster those who write move than those who paint."""
Losses = dict[str, tuple[Weight, Loss]]


def anything(
    *,
    init: str | Path | Start,
    targets: Sequence[str] = ("image", "text"),
    steps: int = 800,
    batch: int = 96,
    lr: float = 2e-3,
    noise: float = 0.25,
    most: int = 2,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to make things of the built-in world from the vectors of a space that was trained on it, which stays as it is.

    Args:
        init: The space: a run, or the directory of one.
        targets: What is made: fields of the space.
        steps: Updates of the parameters.
        batch: Scenes a step.
        lr: The highest learning rate.
        noise: Put on the vectors that decoders learn from; its length, beside theirs of 1.
        most: Of how many objects the scenes are, at most.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    start = start_of(init)
    fields = {field.name: field for field in start.fields}
    if other := [name for name in targets if name not in fields or fields[name].kind not in DECODED] or not targets:
        raise BadDial(
            f"targets={list(targets)}: {other}: expected some of {', '.join(n for n, f in fields.items() if f.kind in DECODED)}"
        )
    taught = {name: replace(one, name=f"{name}_told") for name in targets if isinstance(one := fields[name], Text)}
    made = {name: DECODED[fields[name].kind](taught.get(name, fields[name]), most) for name in targets}
    decoders = {name: decoder for name, (decoder, _, _) in made.items()}
    ends = next((ends for _, _, ends in made.values() if ends), {})
    losses = {name: loss for _, losses, _ in made.values() for name, loss in losses.items()}
    said = {"space": dict(start.card.arguments), "decoders": decoders, "noise": noise, "prefix": PREFIX, **ends}
    said["taught"] = {name: field.name for name, field in taught.items()}
    styles: dict[str, Sequence[float]] = {field.name: PROMPTS for field in start.fields if field.kind == "text"}
    styles |= {field.name: WRITTEN for field in taught.values()}
    planned = plan_of({fields[name].kind for name in targets}, most)
    if planned is not None:
        (plan, styles[PLAN]), reader = planned, ENCODERS[planned[0].tower]
        writer, written, marks = _written(plan, most)
        read_by = {"encoder": plan.tower, **reader.arguments(plan), "width": WIDTH}
        writer = {key: value for key, value in writer.items() if key != "decoder"}
        said["planner"] = {"target": PLAN, "decoder": writer, "reader": read_by, **marks}
        losses |= written
    card = Card("any_to_any", said)
    rates = {"planner.decoder.*": WRITING} | {f"decoders.{name}.*": WRITING for name in taught}
    every = start.fields if planned is None else (*start.fields, planned[0])
    arguments = {"init": start.name, "targets": list(targets), "steps": steps, "batch": batch, "lr": lr, "noise": noise}
    trainer = smoothed(trainer)
    trainer = replace(trainer, freeze=(*trainer.freeze, "space.*"))
    return Experiment(
        recipe="anything",
        arguments=arguments | {"most": most, "seed": seed},
        fields=every,
        source=World((*every, *taught.values()), items=steps * batch, seed=seed, most=most, styles=styles),
        model=card,
        losses=losses,
        optimizer=optimizer_of(trainer, lr, steps, usual="muon", plain=REFINING, rates=rates),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        start=replace(start, read=_around(start, card, seed)),
        truth=lambda model: measured(model, most),
    )


def measured(model: Sensorium, most: int) -> Numbers:
    """What is made of each field from each other, held against the truth on both splits: `"<from>-><to>/<split>/exact"` …; and
    where texts are made, there and back again: `"text-><other>->text/<split>/exact"` …"""
    out: Numbers = {}
    made = model.model
    assert isinstance(made, AnyToAny)
    for source in made.reads:
        for target in made.targets:
            if target != source:
                found = of_splits(
                    lambda split, s=source, t=target: made_of(model, t, split, s, most=most), ("exact", "attributes")
                )
                out |= {f"{source}->{target}/{name}": value for name, value in found.items()}
    texts = [name for name in made.targets if model.field(name).kind == "text"]
    for text, through in product(texts, made.targets):
        if through not in texts:
            found = of_splits(
                lambda split, w=text, t=through: there_and_back(model, w, t, split, most=most), ("exact", "attributes")
            )
            out |= {f"{text}->{through}->{text}/{name}": value for name, value in found.items()}
    return out


def _around(start: Start, card: Card, seed: int) -> Callable[[], AnyToAny]:
    """Decoders of random numbers around the space as it was trained."""

    def read() -> AnyToAny:
        model = card.build(seed)
        assert isinstance(model, AnyToAny)
        nnx.update(model.space, nnx.state(start.read()))
        return model

    return read


def plan_of(kinds: Set[str], most: int) -> tuple[Text, Sequence[float]] | None:
    """The field of the plans by which things of some kinds are made, and the style that says of them what a sense does; None
    where nothing but texts is made, which need no plan."""
    if "video" in kinds:
        return layouts(most, moves=True), MOVING_LAYOUTS
    if "image" in kinds:
        return layouts(most), LAYOUTS
    return (words(PLAN), PLANS) if "audio" in kinds else None


def _painted(field: Any, most: int) -> tuple[Mapping[str, Any], Losses, dict[str, int]]:
    assert isinstance(field, Image)
    side = field.size // 2
    decoder = painter(field, side, sketch=slots([side] * 2, most)) | {"drawn": DRAWN}
    return {"decoder": "denoiser", "tokens": WIDTH, **decoder}, denoising(field.name, PLAN, f"{field.name}/", 1.0), {}


def _played(field: Any, most: int) -> tuple[Mapping[str, Any], Losses, dict[str, int]]:
    assert isinstance(field, Audio)
    return {"decoder": "denoiser", "tokens": WIDTH, **player(field)}, denoising(field.name, PLAN, f"{field.name}/"), {}


def _moved(field: Any, most: int) -> tuple[Mapping[str, Any], Losses, dict[str, int]]:
    assert isinstance(field, Video)
    decoder = mover(field, sketch=slots([SIDE] * 2, most, moves=MOVES)) | {"drawn": DRAWN}
    return {"decoder": "denoiser", "tokens": WIDTH, **decoder}, denoising(field.name, PLAN, f"{field.name}/", 1.0), {}


def _written(field: Any, most: int) -> tuple[Mapping[str, Any], Losses, dict[str, int]]:
    assert isinstance(field, Text)
    if field.end is None:
        raise BadDial(f"{field.name}: its texts have no mark of their end, so nobody could learn when to stop")
    decoder = {"decoder": "tokens", "vocabulary": field.vocabulary_size, "length": field.length - 1, "width": 128}
    ends = {"end": field.end, "pad": int(field.blank()[field.name][0])}
    return decoder, {f"{field.name}/caption": (1.0, Captioning(field.name, begun=True))}, ends


DECODED: Table[Callable[[Modality, int], tuple[Mapping[str, Any], Losses, dict[str, int]]]] = Table(
    "kind of thing that is made", {"image": _painted, "audio": _played, "video": _moved, "text": _written}
)
"""A field, and of how many things at most -> the arguments of its decoder, its losses, and the ids that end and fill a text."""
