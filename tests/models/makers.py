"""Models that make things, as small as they can be, with every parameter away from where it starts."""

from functools import cache
from string import ascii_lowercase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sensorium.encoders import ENCODERS
from sensorium.modalities import Audio, Image, Sensor, Text, Video
from sensorium.models import AnyToAny, Maker
from sensorium.sensorium import Sensorium
from sensorium.training import Card

TEXT = Text(words=("red", "blue", "circle", "square"), alphabet=ascii_lowercase, length=10)
IMAGE, SENSOR = Image(size=16), Sensor(channels=("x", "y"), units=("g", "g"), rate=8.0, seconds=2.0)
AUDIO, VIDEO = Audio(rate=2000, seconds=0.512), Video(size=16, frames=4, seconds=2.0)
SMALL: dict[str, Any] = {"width": 16, "depth": 1, "heads": 2}
DIT: dict[str, Any] = {"network": "dit", "shape": [8, 8], "channels": 3, "patch": [4, 4], **SMALL}
PICTURES: dict[str, Any] = {"form": {"form": "pixels", "every": [2, 2]}, "network": DIT}
TRACES = {"form": {"form": "numbers", "most": 3.0}, "network": DIT | {"shape": [16], "channels": 2, "patch": [8]}}
SOUNDS = {"form": {"form": "spectrum", "window": 64, "hop": 32, "turns": 2}}
SOUNDS |= {"network": DIT | {"shape": [32], "channels": 33, "patch": [8]}}
CLIPS = {"form": {"form": "pixels", "every": [1, 2, 2]}, "network": DIT | {"shape": [4, 8, 8], "patch": [2, 8, 8]}}
READER = {"encoder": "text_transformer", **ENCODERS["text_transformer"].arguments(TEXT), "width": 8, "heads": 2}
SEER = {"encoder": "convnet", "size": 16, "widths": [8, 8]}
FEELER = {"encoder": "sensor", **ENCODERS["sensor"].arguments(SENSOR), "width": 8}
WORDS = {"decoder": "tokens", "vocabulary": TEXT.vocabulary_size, "length": TEXT.length, **SMALL}
MAKER = Card("maker", {"encoders": {"text": READER}, "decoder": PICTURES | {"tokens": 8}, "target": "image"})


def any_card(**decoders: Any) -> Card:
    """Of a space of texts, pictures and traces."""
    space = {"encoders": {"text": READER, "image": SEER, "sensor": FEELER}, "width": 12}
    return Card("any_to_any", {"space": space, "decoders": decoders})


ANY = any_card(image=PICTURES | {"decoder": "denoiser"}, text=WORDS)


def shaken(model: Any, by: float = 0.3) -> Any:
    """The model with noise on every parameter, so that what starts at 0 is seen."""
    state = nnx.state(model, nnx.Param)
    leaves, tree = jax.tree.flatten(state)
    random = np.random.default_rng(0)
    moved = [x + jnp.asarray(by * random.normal(size=x.shape), x.dtype) for x in leaves]
    nnx.update(model, jax.tree.unflatten(tree, moved))
    return model


@cache
def maker() -> Sensorium:
    made = shaken(MAKER.build(0))
    assert isinstance(made, Maker)
    return Sensorium(made, (TEXT, IMAGE), MAKER)


PLAN = Text("plan", TEXT.words, TEXT.alphabet, 4 * TEXT.length)
"""Longer than what the planner writes, which is letters by chance."""


def planning_card(length: int = PLAN.length) -> Card:
    """Of a maker that writes a plan of each prompt first; plans of so many tokens are read."""
    writer = WORDS | {"length": TEXT.length - 1, "context_width": 8, "gist_width": 8 * TEXT.length}
    planner = {"encoders": {"text": READER}, "decoder": writer, "target": "plan", "end": TEXT.end}
    reader = {"encoders": {"plan": READER | {"length": length}}}
    return Card("maker", {**MAKER.arguments, **reader, "planner": planner | {"pad": int(TEXT.blank()["text"][0])}})


@cache
def planning() -> Sensorium:
    """It plans by chance: it was never trained."""
    return Sensorium(shaken(planning_card().build(0)), (TEXT, PLAN, IMAGE), planning_card())


@cache
def any_to_any() -> Sensorium:
    made = shaken(ANY.build(0))
    assert isinstance(made, AnyToAny)
    for i, mean in enumerate(made.means.values()):
        mean[...] = 0.2 * jax.random.normal(jax.random.key(i), mean.shape)
    return Sensorium(made, (TEXT, IMAGE, SENSOR), ANY)


def any_planning_card() -> Card:
    """The same space, whose pictures are made of plans, and whose writers look at three tokens."""
    said = any_card(image=PICTURES | {"decoder": "denoiser", "tokens": 8}, text=WORDS).arguments
    writer = {key: value for key, value in WORDS.items() if key != "decoder"} | {"length": PLAN.length - 1}
    planner = {"target": "plan", "decoder": writer, "reader": READER | {"length": PLAN.length}, "end": TEXT.end}
    return Card("any_to_any", {**said, "planner": planner | {"pad": int(TEXT.blank()["text"][0])}, "prefix": 3})


@cache
def any_planning() -> Sensorium:
    """It plans by chance: it was never trained."""
    card = any_planning_card()
    return Sensorium(shaken(card.build(0)), (TEXT, IMAGE, SENSOR, PLAN), card)
