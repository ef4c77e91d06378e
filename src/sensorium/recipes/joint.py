"""Pictures, captions, sounds and traces of the built-in world from one latent: each can be made from any of the others."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sensorium.core.protocols import Modality
from sensorium.core.table import Table
from sensorium.core.trainer import BadDial, Trainer
from sensorium.data.questions import rendered
from sensorium.data.synthetic import World
from sensorium.encoders import ENCODERS
from sensorium.losses import Divergence, Elbo, Weight
from sensorium.modalities import Audio, Image, Sensor, Text
from sensorium.models import JointVAE
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.captions import words
from sensorium.sensorium import Sensorium
from sensorium.training import Card, Experiment
from sensorium.truth import Numbers, judged, of_splits
from sensorium.world import scene, trace

SCENES, AT_ONCE = 500, 100
HOP, BINS = 200, 64
GRAVITY = trace.GRAVITY


def joint(
    *,
    fields: Sequence[str] = ("image", "text"),
    joint: Literal["product", "mixture", "subsets"] = "product",
    steps: int = 1500,
    batch: int = 64,
    lr: float = 2e-3,
    size: int = 32,
    width: int = 64,
    weights: Sequence[float] | None = None,
    beta: float = 1.0,
    warm: int = 300,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn one latent of the built-in world from which its fields come, and which any of them tells of.

    Args:
        fields: Which: image, text, audio (as a spectrogram), sensor.
        joint: How what the fields say becomes one posterior: product, mixture or subsets (see `JointVAE`).
        steps: Updates of the parameters.
        batch: Scenes a step.
        lr: The highest learning rate.
        size: Of the pictures, in pixels.
        width: Numbers of the latent.
        weights: How much a nat of each field counts; by default 1 of texts and 0.05 of the others, which have thousands.
        beta: How much a nat of the latent counts.
        warm: Steps over which that is let in.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    arguments |= {"fields": list(fields), "weights": None if weights is None else list(weights)}
    trainer = trainer or Trainer()
    if len(set(fields)) < len(fields) or size % 16:
        raise BadDial(f"fields={list(fields)}, size={size}: expected each field once, and a multiple of 16 pixels")
    chosen = tuple(_field(name, size) for name in fields)
    if weights is None:
        weights = [1.0 if name == "text" else 0.05 for name in fields]
    elif len(weights) != len(fields):
        raise BadDial(f"weights={list(weights)}: expected one for each of {', '.join(fields)}")
    return Experiment(
        recipe="joint",
        arguments=arguments,
        fields=chosen,
        source=World(chosen, items=steps * batch, seed=seed),
        model=joint_card(chosen, width, joint),
        losses={
            "evidence": (1.0, Elbo(tuple(fields), 0.0, weights=tuple(weights))),
            "kl": (_let_in(beta, warm), Divergence("joint")),
        },
        optimizer=optimizer_of(trainer, lr, steps),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        truth=measured if {"image", "text"} <= set(fields) else None,
    )


def joint_card(fields: Sequence[Modality], width: int, joint: str = "product") -> Card:
    """The card of a `JointVAE` of these fields: each its modality's own tower, and what it is decoded by."""
    encoders, decoders = {}, {}
    for field in fields:
        encoders[field.name] = {"encoder": field.tower, **ENCODERS[field.tower].arguments(field)}
        decoders[field.name] = _decoder(field)
    return Card("joint_vae", {"encoders": encoders, "decoders": decoders, "latent": width, "joint": joint})


def measured(model: Sensorium) -> Numbers:
    """What its captions say of the pictures that they are made of, through the latent, on both splits: see `truth.judged`."""
    return of_splits(lambda split: _captioned(model, split))


def _captioned(model: Sensorium, split: str) -> Numbers:
    built, told = model.model, model.field("text")
    assert isinstance(built, JointVAE)
    graph, state = nnx.split(built)

    @jax.jit
    def say(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
        whole = nnx.merge(graph, state)
        return whole.decoders["text"].generate(whole.infer(batch).mean)

    scenes = scene.distinct(split, SCENES)
    said: list[str] = []
    for start in range(0, len(scenes), AT_ONCE):
        batch = rendered([model.field("image")], scenes[np.arange(start, min(start + AT_ONCE, len(scenes)))])
        said += [str(told.show(row)) for row in np.asarray(say(state, batch))]
    return judged(scenes, said)


def _let_in(beta: float, warm: int) -> Weight:
    """The weight of the KL: in equal parts up to `beta` over the first `warm` steps (Bowman et al. 2016, §3.1)."""
    return lambda step: beta * jnp.minimum((step + 1.0) / max(warm, 1), 1.0)


def _field(name: str, size: int) -> Modality:
    return FIELDS[name](size)


def _decoder(field: Modality) -> dict[str, Any]:
    """The arguments of the field's likelihood."""
    if isinstance(field, Text):
        pad = int(field.blank()[field.name][0])
        return {"decoder": "tokens", "vocabulary": field.vocabulary_size, "length": field.length, "pad": pad, "end": field.end}
    if isinstance(field, Audio):
        shape = [field.samples // HOP, BINS]
        heard = {"view": "log_mel", "rate": field.rate, "hop": HOP}
        return {"decoder": "grid", "shape": shape, "channels": 1, "patch": [5, 8], **heard}
    if isinstance(field, Sensor):
        length, channels = field.blank()[field.name].shape
        levels = {"mean": [0.0, GRAVITY, 0.0], "std": [1.0] * channels} if channels == 3 else {}
        return {"decoder": "grid", "shape": [length], "channels": channels, "patch": [4], **levels}
    assert isinstance(field, Image)
    return {"decoder": "grid", "shape": [field.size] * 2, "channels": 3, "patch": [4, 4], "view": "picture"}


FIELDS: Table[Any] = Table(
    "field of the joint latent",
    {
        "image": lambda size: Image(size=size),
        "text": lambda size: words(),
        "audio": lambda size: Audio(),
        "sensor": lambda size: Sensor(channels=trace.AXIS_NAMES, rate=trace.RATE),
    },
)
