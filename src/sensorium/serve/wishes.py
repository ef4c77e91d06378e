"""What models are asked to say and to make, as the JSON has it, and how much of it."""

from dataclasses import dataclass

from sensorium.serve.bounds import Refused
from sensorium.serve.senses import MOST_TEXT

MOST_MADE, MOST_STEPS, MOST_SEED = 8, 250, 2**32 - 1
MOST_ANSWERS = 32


@dataclass(frozen=True)
class Caption:
    """Of which item, unless a file is sent; and how many captions that differ."""

    id: str = ""
    candidates: int = 1

    def __post_init__(self):
        _within("candidates", self.candidates, 1, MOST_MADE)


@dataclass(frozen=True)
class Ask:
    """A question about an item, or about the file that is sent; `answers`: those to choose the likeliest of."""

    question: str = ""
    id: str = ""
    answers: list[str] | None = None

    def __post_init__(self):
        _text("question", self.question)
        if self.answers is not None:
            _within("the number of answers", len(self.answers), 1, MOST_ANSWERS)
            for answer in self.answers:
                _text("an answer", answer)


@dataclass(frozen=True)
class Generate:
    """What is made of a text, of an item, of the files that are sent, or of several of them; `to`: the field, where the model
    makes several. `temperature`: how various it may be: of texts 0 for the likeliest, which is one alone, and 1 as learned; of
    all else at most 1."""

    text: str = ""
    id: str = ""
    to: str = ""
    n: int = 1
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    temperature: float | None = None

    def __post_init__(self):
        _within("n", self.n, 1, MOST_MADE)
        _within("seed", self.seed, 0, MOST_SEED)
        if self.steps is not None:
            _within("steps", self.steps, 1, MOST_STEPS)
        if self.guidance is not None:
            _within("guidance", self.guidance, 0, 100)
        if self.temperature is not None:
            _within("temperature", self.temperature, 0, 2)
        if len(self.text) > MOST_TEXT:
            raise Refused(422, f"a text of more than {MOST_TEXT} characters: make it shorter")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise Refused(422, f"{name} is {value}: expected {least} to {most}")


def _text(name: str, value: str) -> None:
    if not value.strip() or len(value) > MOST_TEXT:
        raise Refused(422, f"{name}: expected a text of 1 to {MOST_TEXT} characters")
