"""The recipe of questions: answers from tiny models that learn, a choice, and a blind one that no picture can move."""

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.modalities import BadRaw
from sensorium.models import Generator
from sensorium.recipes.questions import LONGEST, LONGEST_ANSWER, questions, texts, types_of
from sensorium.sensorium import Sensorium
from sensorium.training import fit
from sensorium.truth import questions_of
from sensorium.world import picture, question, scene

TINY: dict[str, Any] = {"steps": 2, "batch": 4, "each": 3, "width": 16, "queries": 2, "depth": 1}


@cache
def trained(**dials) -> Sensorium:
    experiment = questions(**TINY, **dials)
    model, history = fit(experiment)
    assert np.isfinite([record["loss"] for record in history[1:]]).all()
    return Sensorium(model, experiment.fields, experiment.model)


def test_the_fields_hold_every_question_and_answer_of_the_world():
    asked, answered = texts()
    for split in scene.SPLITS:
        for one in question.ask(scene.draw(split, np.arange(500))):
            assert (
                asked.measure(one.question)[0] <= LONGEST and asked.show(asked.prepare(one.question)["question"]) == one.question
            )
            assert answered.measure(one.answer)[0] <= LONGEST_ANSWER
            assert answered.show(answered.prepare(one.answer)["answer"]) == one.answer


def test_a_choice_is_one_of_all_answers_and_asking_is_told_what_cannot_be():
    made = trained(answers="choose")
    known = {answer for type in types_of("image") for answer in question.TYPES[type]}
    pictures = list(picture.render(scene.draw("validation", np.arange(3))))
    said = made.ask(pictures, "what colour is the thing in the top left")
    assert len(said) == 3 and set(said) <= known and all(one.score < 0 for one in said)
    assert made.ask(pictures[0], "how many things are there", answers=["two", "red"])[0] in ("two", "red")
    with pytest.raises(BadRaw, match="make it shorter"):
        made.ask(pictures[0], "what colour is the thing in the top left of this rather small picture")
    with pytest.raises(BadRaw, match="empty"):
        made.ask(pictures[0], " ")


def test_no_picture_can_move_a_blind_model_and_one_that_sees_is_moved():
    blind, seeing = trained(blind=True), trained(answers="choose")
    assert isinstance(blind.model, Generator)
    assert blind.modalities == ("question", "answer") and blind.model.reads == ("question",)
    batch = questions(**TINY).source.read(np.arange(4))
    other = batch | {"image": 255 - batch["image"]}
    for made, still in ((blind, True), (seeing, False)):
        a, b = (
            np.asarray(made.model({key: jnp.asarray(x) for key, x in each.items()})["answer/logits"]) for each in (batch, other)
        )
        assert np.array_equal(a, b) == still
    found = questions_of(blind, "validation", types_of("image"), 20)
    chances = [1 / 3, 1 / 8, 1 / 6, 1 / 4, 1 / 2, 1 / 9, 1 / 48, 1 / 2]
    assert found["questions"] == 160 and found["accuracy/chance"] == pytest.approx(np.mean(chances))
