"""The loop: read a batch, take a step, tell how it goes."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import optax
from flax import nnx

from sensorium.core.batch import Batch, size
from sensorium.core.errors import SensoriumError
from sensorium.models import Space
from sensorium.training.experiment import Experiment
from sensorium.training.step import Objective, Step, contrast

Record = dict[str, Any]
RECORDS = 200
"""About as many records a run are kept, each the mean over the steps since the one before."""


class Diverged(SensoriumError):
    """The loss is not a number any more. The run stops before it writes a model."""


def fit(
    experiment: Experiment,
    log: Path | None = None,
    tell: Callable[[Record], None] | None = None,
    rejects: Path | None = None,
) -> tuple[Space, list[Record]]:
    """Trains the experiment's model; gives it and the history, whose records also go to `log` (JSON lines) and to `tell`.

    The first record holds `seconds/compile`; every further one `step`, `loss`, `loss/<name>`, `scale`, `seconds` since the
    first step, the mean `samples_per_second` since then (without compilation), `busy`, the share of that time in which the
    step did not wait for data, and `rejected`, how many things could not be read so far, which are told in `rejects`. A loss
    that is not finite is `Diverged`.
    """
    model = experiment.model.build(experiment.seed)
    step = Step(
        model,
        contrast(experiment.losses, experiment.micro_batch),
        experiment.optimizer,
        settle=Space.settle,
        seed=experiment.seed,
    )
    history: list[Record] = []
    with (
        log.open("w", encoding="utf-8") if log else nullcontext() as lines,
        experiment.stream(rejects) as stream,
    ):
        for entry in _follow(step, stream, experiment.steps):
            entry |= {"rejected": stream.counts.rejected} if entry["step"] else {}
            history.append(entry)
            if lines:  # line by line, so that a run that dies leaves its log
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
            if tell:
                tell(entry)
    return step.model(), history


def minimise(
    model: nnx.Module,
    objective: Objective,
    stream: Iterable[Batch],
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    seed: int = 0,
    tell: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Trains any module in place on `steps` batches of `stream`; gives the history, as `fit` does."""
    step = Step(model, objective, optimizer, seed=seed)
    history = []
    for entry in _follow(step, iter(stream), steps):
        history.append(entry)
        if tell:
            tell(entry)
    nnx.update(model, nnx.state(step.model()))
    return history


def _follow(step: Step, stream: Iterator[Batch], steps: int) -> Iterator[Record]:
    """Takes the steps, and tells of them: the compilation first, then the means of every few steps."""
    batch = next(stream)
    rows = size(batch)
    yield {"step": 0, "seconds/compile": round(step.compile(batch), 3)}
    every = max(1, steps // RECORDS)
    start, idle, pending = time.perf_counter(), 0.0, []
    for number in range(1, steps + 1):
        out = step(batch)
        pending.append(out)
        if number % every == 0 or number == steps:
            entry = _summary(pending, number, rows, start)
            yield entry | {"busy": round(1 - idle / max(entry["seconds"], idle, 1e-3), 4)}
            pending = []
        if number < steps:
            before = time.perf_counter()
            batch = jax.device_put(next(stream))  # on its way while the step computes
            # Where the device still computes, it surely did not wait; else it may have, and is held to have.
            if out["loss"].is_ready():  # pyright: ignore[reportAttributeAccessIssue]
                idle += time.perf_counter() - before


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
