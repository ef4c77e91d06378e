"""Questions about a picture, a sound or a clip of the built-in world, answered in words or by a choice among all answers."""

from collections.abc import Mapping, Sequence
from functools import partial
from string import ascii_lowercase
from typing import Any, Literal

from sensorium.core.table import Table
from sensorium.core.trainer import Trainer
from sensorium.data.questions import Questions
from sensorium.losses import Captioning
from sensorium.modalities import Audio, Image, Text, Video
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.captions import FINE
from sensorium.recipes.tellers import teller
from sensorium.sensorium import Sensorium
from sensorium.training import Card, Experiment
from sensorium.truth import Numbers, of_splits, questions_of
from sensorium.world import question
from sensorium.world.question import TYPES

SOURCES = Table("source of questions", {"image": Image(size=64), "audio": Audio(), "video": Video(size=64, frames=8)})
SHARES = {
    "count": 0.4,
    "colour": 1.0,
    "shape": 3.0,
    "relation": 1.0,
    "size": 0.8,
    "motion": 1.0,
    "place": 1.5,
    "beside": 1.0,
    "there": 1.0,
}
"""How often each type is asked while learning: what a thing is called by, its colour and its shape, comes before the rest."""
ENCODERS: dict[str, Mapping[str, Any]] = {**FINE, "question": {"width": 64, "window": 5}}
"""Of things and of questions, whose words know their neighbours."""
QUESTIONING = ("fusion.ask.*",)
"""The map of a question to all that it asks learns by AdamW: to make so wide a matrix orthogonal costs a quarter of a step."""
LONGEST, LONGEST_ANSWER = 12, 4
"""Words of the longest question and answer, with the two marks of start and end."""


def questions(
    *,
    source: Literal["image", "audio", "video"] = "image",
    answers: Literal["write", "choose"] = "write",
    blind: bool = False,
    steps: int = 1500,
    batch: int = 64,
    each: int = 5,
    easy: float = 0.2,
    lr: float = 3e-3,
    width: int = 96,
    queries: int = 4,
    depth: int = 2,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to answer questions about the built-in world.

    Args:
        source: What is asked about: image, audio or video.
        answers: write them word by word, or choose among all answers of the world (classification).
        blind: Leave out what is asked about: what can be guessed from the questions alone.
        steps: Updates of the parameters.
        batch: Scenes a step.
        each: Questions about each scene, which is encoded once for all of them.
        easy: The share of the steps, the first ones, in which things are asked for by their places alone.
        lr: The highest learning rate.
        width: Of the fusion and of the decoder.
        queries: Vectors that a question is made into, which look things up.
        depth: How often they look.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    trainer, (asked, answered) = trainer or Trainer(), texts()
    things = () if blind else (SOURCES[source],)
    types = types_of(source)
    look = {"queries": queries, "depth": depth}
    shares = {type: SHARES[type] for type in types}
    rows = {"items": steps * batch, "easy": round(easy * steps) * batch, "seed": seed}
    return Experiment(
        recipe="questions",
        arguments=arguments,
        fields=(*things, asked, answered),
        source=Questions(things, asked, answered, shares, each, "train", **rows),
        model=_model(things, asked, answered, width, look, types if answers == "choose" else ()),
        losses={"answer": (1.0, Captioning("answer", given=("question",), begun=True))},
        optimizer=optimizer_of(trainer, lr, steps, usual="muon", plain=QUESTIONING),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        truth=partial(measured, types=types),
    )


def measured(model: Sensorium, types: Sequence[str]) -> Numbers:
    """How many answers are right, of all types and of each, on both splits."""
    names = ("accuracy", *(f"{type}/accuracy" for type in types))
    return of_splits(lambda split: questions_of(model, split, types), names)


def texts() -> tuple[Text, Text]:
    """The fields of questions and of their answers: every word of the world as one piece, and others by their letters."""
    words = tuple(word for word in question.WORDS if len(word) > 1)
    return Text("question", words, ascii_lowercase, LONGEST), Text("answer", words, ascii_lowercase, LONGEST_ANSWER)


def types_of(source: str) -> tuple[str, ...]:
    """The types of questions that can be answered from a source: only a clip shows how things move."""
    return tuple(type for type in TYPES if type != "motion" or source == "video")


def _model(
    things: tuple[Any, ...], asked: Text, answered: Text, width: int, look: Mapping[str, Any], choose: tuple[str, ...]
) -> Card:
    """Encoders, a fusion in which the question asks, and a decoder that writes the answer, or chooses one of those of types."""
    text_width = ENCODERS["question"]["width"]
    fusion = {"fusion": "asking", "asked": asked.name, "asked_width": asked.length * text_width, **look}
    card = teller((*things, asked), answered, width, ENCODERS, depth=1, fusion=fusion)
    if not choose:
        return card
    known = dict.fromkeys(answer for type in choose for answer in TYPES[type])
    ready = answered.prepare_batch(list(known))
    choices = [ids[mask].tolist() for ids, mask in zip(ready["answer"], ready["answer/mask"], strict=True)]
    sizes = {key: card.arguments["decoder"][key] for key in ("vocabulary", "length", "gist_width")}
    decoder = {"decoder": "choices", **sizes, "width": 2 * width, "choices": choices}
    return Card(card.builder, {**card.arguments, "decoder": decoder})
