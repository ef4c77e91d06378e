"""`sensorium ask`: the answer to a question about a picture, a sound or a clip."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sensorium.cli import problems
from sensorium.cli.main import as_usage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium ask photo.png "what colour is the car?" --model Salesforce/blip-vqa-base
sensorium ask photo.png "is it raining?" --model models/blip-vqa --answers yes no"""


def ask(
    file: tyro.conf.Positional[Path],
    question: tyro.conf.Positional[str],
    *,
    model: str | None = None,
    answers: list[str] | None = None,
    beams: int = 1,
    length: int | None = None,
) -> dict:
    """Answer a question about a picture, or about a sound or a clip, by what the model reads.

    Args:
        file: The file.
        question: What is asked.
        model: A model that answers: its folder, or the id of its repository (BLIP); by default the newest in runs/ that can.
        answers: Answers to choose the likeliest of; any words by default.
        beams: How many beginnings of an answer are followed side by side.
        length: The most pieces of words that are written; by default what suits the model.
    """
    import sensorium
    from sensorium.cli import device, usual
    from sensorium.models.telling import Telling, unknown_in

    with as_usage():
        Telling(length, beams)
    model = usual.model_for("ask", model, usual.kinds_of([file]))
    device.prepare()
    loaded = sensorium.load(model)
    (answer,) = loaded.ask([file], question, answers=answers, beams=beams, length=length)
    said = {"answer": str(answer), "score": round(answer.score, 4), "probability": round(math.exp(answer.score), 4)}
    return {
        "file": str(file),
        "question": question,
        "model": model,
        **said,
        "unknown_words": unknown_in(question, loaded.model, loaded.fields),
    }


def show(result: dict, console: "Console") -> None:
    from rich.console import Console

    print(result["answer"])
    beside = Console(stderr=True)  # so that what is read by a program is the answer alone
    beside.print(f"with a probability of {result['probability']:.2f}", style="dim", highlight=False)
    problems.tell_unknown(beside, result["unknown_words"])
