"""The loop: read a batch, take a step, tell how it goes."""

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax

from sensorium.core.errors import SensoriumError
from sensorium.data.pipeline import batches
from sensorium.models import Space
from sensorium.training.experiment import Experiment
from sensorium.training.step import Step

Record = dict[str, Any]
RECORDS = 200
"""About as many records a run are kept, each the mean over the steps since the one before."""


class Diverged(SensoriumError):
    """The loss is not a number any more. The run stops before it writes a model."""


def fit(
    experiment: Experiment, log: Path | None = None, tell: Callable[[Record], None] | None = None
) -> tuple[Space, list[Record]]:
    """Trains the experiment's model; gives it and the history, whose records also go to `log` (JSON lines) and to `tell`.

    The first record holds `seconds/compile`; every further one `step`, `loss`, `loss/<name>`, `scale`,
    `seconds` since the first step and the mean `samples_per_second` since then, without compilation. A loss that is not
    finite is `Diverged`.
    """
    stream = batches(experiment.source, experiment.batch, experiment.steps, experiment.seed, experiment.shuffle)
    step = Step(experiment.model.build(experiment.seed), experiment.losses, experiment.optimizer)
    first = next(stream)
    history: list[Record] = []
    with log.open("w", encoding="utf-8") if log else nullcontext() as lines:

        def record(entry: Record) -> None:
            history.append(entry)
            if lines:  # line by line, so that a run that dies leaves its log
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
            if tell:
                tell(entry)

        record({"step": 0, "seconds/compile": round(step.compile(first), 3)})
        every = max(1, experiment.steps // RECORDS)
        start, pending, batch = time.perf_counter(), [], first
        for number in range(1, experiment.steps + 1):
            pending.append(step(batch))
            if number % every == 0 or number == experiment.steps:
                record(_summary(pending, number, experiment.batch, start))
                pending = []
            if number < experiment.steps:
                batch = next(stream)
    return step.model(), history


def _summary(outputs: list[dict[str, jax.Array]], step: int, batch: int, start: float) -> Record:
    """The mean of some steps' outputs; it waits for the last of them."""
    rows = jax.device_get(outputs)
    means = {key: float(sum(float(row[key]) for row in rows) / len(rows)) for key in rows[0]}
    if not math.isfinite(means["loss"]):
        raise Diverged(
            f"the loss is {means['loss']} at step {step}: lower the learning rate (lr), or look for broken values in the data"
        )
    seconds = time.perf_counter() - start
    return {"step": step, **means, "seconds": round(seconds, 3), "samples_per_second": round(step * batch / seconds, 1)}
