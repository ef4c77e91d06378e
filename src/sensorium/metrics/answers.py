"""Accuracy on questions: over all and by their type, each with its interval and its chance line."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from sensorium.metrics.interval import bootstrap
from sensorium.metrics.retrieval import Unmeasurable


def by_type(right: Bool[np.ndarray, " N"], types: Sequence[str], answers: Mapping[str, int]) -> dict[str, float]:
    """`"accuracy"`, the share of answers that are right, and `"<type>/accuracy"` of each type of questions that there is.

    Each has its `…/low` and `…/high` (95 %, bootstrap over the questions) and its `…/chance`: one over the number of answers
    that a type has (`answers[type]`), and the mean of these over the questions. `"questions"` is how many there were. No
    questions at all, and a type without a number of answers, are `Unmeasurable`.
    """
    if not len(right) or len(right) != len(types):
        raise Unmeasurable(f"{len(right)} answers to {len(types)} questions: expected one or more, and as many of either")
    if unknown := sorted(set(types) - set(answers)):
        raise Unmeasurable(f"questions of type {unknown[0]!r}: it is not said how many answers they have")
    names = np.array(types)
    guesses = np.array([1.0 / answers[type] for type in types])
    out = {"questions": float(len(right))} | _share("", right, guesses)
    for type in answers:
        if (of := names == type).any():
            out |= _share(f"{type}/", right[of], guesses[of])
    return out


def _share(prefix: str, right: np.ndarray, guesses: np.ndarray) -> dict[str, float]:
    low, high = bootstrap(right.astype(np.float64))
    values = {"accuracy": right.mean(), "accuracy/low": low, "accuracy/high": high, "accuracy/chance": guesses.mean()}
    return {f"{prefix}{name}": float(value) for name, value in values.items()}
