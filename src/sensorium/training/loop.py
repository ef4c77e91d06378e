"""The loop: read a batch, take a step, tell how it goes, and keep what is needed to go on."""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import jax
import numpy as np
import optax
from flax import nnx

from sensorium.checkpoints.checkpoint import Checkpoints
from sensorium.core.batch import Batch, size
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.losses import on_mesh
from sensorium.models import Model, Space
from sensorium.monitor.judge import Finding, Monitor
from sensorium.monitor.probe import mixes_rows
from sensorium.monitor.watch import of_update
from sensorium.optim.balanced import balanced
from sensorium.optim.lora import merge
from sensorium.optim.trainable import staged
from sensorium.training.beginning import prepared
from sensorium.training.course import Course, Record
from sensorium.training.experiment import Experiment
from sensorium.training.hosts import agreed, any_of, first
from sensorium.training.interrupt import Interrupted, Request, requests
from sensorium.training.objective import contrast
from sensorium.training.sharding import AXES, Placement
from sensorium.training.step import Objective, Step
from sensorium.training.trackers import Run, tracking

Tell = Callable[[Record], None]
Evaluate = Callable[[Model], dict[str, float]]
"""A model -> metrics by name, `…/recall@1` among them."""


LONG = 200
"""Steps from which on it is worth asking, which takes a second or two, whether the model mixes rows."""


class Diverged(SensoriumError):
    """The loss is not a number any more, step after step. The text says in which field and rows it began."""


@dataclass(frozen=True)
class Keeping:
    """Where a run is kept: the checkpoints, the log (JSON lines), the rejects; `resume`: go on from the newest checkpoint that
    is whole."""

    checkpoints: Checkpoints
    log: Path
    rejects: Path
    resume: bool = False

    @classmethod
    def at(cls, folder: Path, keep: int = 2, resume: bool = False) -> "Keeping":
        """All of it in one directory; `keep` of the last checkpoints stay."""
        rejects = "rejects.jsonl" if first() else f"rejects-{jax.process_index()}.jsonl"  # of the rows that this process reads
        return cls(Checkpoints(folder, keep), folder / "log.jsonl", folder / rejects, resume)


def fit(
    experiment: Experiment, keeping: Keeping | None = None, tell: Tell | None = None, evaluate: Evaluate | None = None
) -> tuple[Model, list[Record]]:
    """Trains the experiment's model; gives it and the history, whose records also go to the log and to `tell`.

    The first record holds `seconds/compile`; every further one `step`, `loss`, `loss/<name>`, `scale`, `seconds` since the
    first step, the mean `samples_per_second` since then (without compilation), `busy`, the share of that time in which the
    step did not wait for data, `rejected`, how many things could not be read so far, `skipped`, how many steps were not
    applied as their loss or gradient was not finite, and where the trainer evaluates, `evaluation/<name>`; what the training
    doctor finds is in `findings`.

    `Diverged` after as many bad steps in a row as the trainer says. Where the run is kept, Ctrl-C and SIGTERM save it and
    raise `Interrupted`. The model is that of the last step, of the moving average if there is one, or of the best
    evaluation where the trainer stops early.
    """
    run = _Run(experiment, keeping, tell, evaluate)
    with ExitStack() as stack:
        stack.enter_context(closing(run))
        request = stack.enter_context(requests(keeping is not None))
        run.begin()
        while not run.finished:
            run.step(request)
        return run.end(), run.course.history


class _Run:
    """What `fit` holds in its hands."""

    def __init__(self, experiment: Experiment, keeping: Keeping | None, tell: Tell | None, evaluate: Evaluate | None):
        self.experiment, self.trainer, self.keeping = experiment, experiment.trainer, keeping
        self._tell, self._evaluate = tell if first() else None, evaluate
        self.course = Course(experiment.steps, experiment.batch)
        self.tracking = tracking(self.trainer.track if first() else ())
        self._place = Placement.wanted(self.trainer.mesh)
        # Where there is a checkpoint, what the run began with is not asked for: it may be gone by now.
        model, frozen = prepared(experiment, blank=bool(keeping and keeping.resume and keeping.checkpoints.steps()))
        thaw = experiment.trainable.thaw
        batches = {step * self.trainer.accumulate: patterns for step, patterns in thaw.items()}
        largest = model.largest_scale if isinstance(model, Space) else math.inf
        self.monitor = Monitor(frozen, largest, batches)
        self.machine = self._machine(model, frozen)
        self.stream = experiment.stream(keeping.rejects if keeping else None)
        self._best: dict[str, jax.Array] | None = None
        self._told: tuple[str, ...] = ()
        self._lines: TextIO | None = None
        self._early, self._status = False, "stopped"

    def _machine(self, model: Model, frozen: tuple[str, ...]) -> Step:
        experiment, thaw = self.experiment, self.experiment.trainable.thaw
        losses = on_mesh(experiment.losses, AXES) if self._place else experiment.losses
        names = [field.name for field in experiment.fields]
        return Step(
            model,
            contrast(losses, experiment.micro_batch, watch=True),
            staged(balanced(experiment.optimizer, names) if self.trainer.balance else experiment.optimizer, thaw),
            settle=lambda model: model.settle(),
            seed=experiment.seed,
            frozen=frozen,
            precision=self.trainer.precision,
            ema=self.trainer.ema,
            accumulate=self.trainer.accumulate,
            placement=self._place,
            watch=of_update,
        )

    @property
    def finished(self) -> bool:
        return self._early or self.course.taken >= self.experiment.steps

    def begin(self) -> None:
        """Goes on from the newest checkpoint where that is wanted, opens the log, and compiles."""
        if self.keeping and self.keeping.resume:
            self._resume(self.keeping.checkpoints)
        if self.keeping:
            self._lines = self.keeping.log.open("w", encoding="utf-8") if first() else None
            folder = self.keeping.log.parent
            self.tracking.start(Run(folder.name, folder, self.experiment.identity()["arguments"], self.course.taken))
            for record in self.course.history:
                self._write(record)
        if not self.finished:
            batch = next(self.stream)
            self._batch = self.machine.put(batch)
            record = self.course.compiled(self.machine.compile(self._batch))
            if self.course.taken == 0 and self.experiment.steps >= LONG and jax.process_count() == 1:
                mixing = mixes_rows(self.machine.model(), batch, jax.random.key(self.experiment.seed))
                record |= _told(self.monitor.mixing(mixing))
            self._note(record | ({"step": self.course.taken, "resumed": list(self._told)} if self.course.taken else {}))

    def step(self, request: Request) -> None:
        out = self.machine(self._batch)
        self.course.took(out)
        evaluates = self._falls(self.trainer.evaluate_every) and self._evaluate is not None
        best = False
        if self.course.due or evaluates:
            record, failed = self.course.record()
            record["rejected"] = self.stream.counts.rejected
            if evaluates:
                best = self._judge(record)
            if failed:
                record["broken"] = [self._named(*each) for each in failed]
                if failed[0][1]["bad"] == 1:
                    self.course.began = record["broken"][0]
            self._note(record)
            if failed and failed[-1][1]["bad"] >= self.trainer.bad_steps:
                self._give_up(int(failed[-1][1]["bad"]))
        stopped = self._stopped(request)
        if self.keeping and (best or self._falls(self._save_every) or stopped or self.finished):
            self._save(best)
        if stopped:
            self._interrupted(request)
        if not self.finished:
            before = time.perf_counter()
            self._batch = self.machine.put(next(self.stream))  # on its way while the step computes
            # Where the device still computes, it surely did not wait; else it may have, and is held to have.
            if out["loss"].is_ready():  # pyright: ignore[reportAttributeAccessIssue]
                self.course.waited(time.perf_counter() - before)

    def end(self) -> Model:
        if self.keeping:
            self.keeping.checkpoints.wait()
        if self._early and self._best is not None:
            self.machine.restore(self._best)
        self._status = "done"
        return merge(self.machine.model(average=self.trainer.ema is not None))

    def close(self) -> None:
        self.stream.close()
        self.tracking.end(self._status)
        if self._lines:
            self._lines.close()
        if self.keeping:
            self.keeping.checkpoints.close()

    @property
    def _save_every(self) -> int:
        return self.trainer.save_every or max(1, self.experiment.steps // 10)

    @property
    def _patience_ended(self) -> bool:
        return self.trainer.patience is not None and self.course.worse >= self.trainer.patience

    def _falls(self, every: int | None) -> bool:
        return every is not None and self.course.taken % every == 0

    def _stopped(self, request: Request) -> bool:
        """Whether to stop after this step. Several processes agree on it now and then: asking costs them a wait."""
        if jax.process_count() == 1:
            return bool(request.by)
        if self.course.taken % self.course.every or not any_of(bool(request.by)):
            return False
        request.by = request.by or "a signal to another process"
        return True

    def _judge(self, record: Record) -> bool:
        """Evaluates into the record; whether it is the best so far. The run ends early after too many that are not."""
        assert self._evaluate is not None
        metrics = agreed(self._evaluate(self.machine.model(average=self.trainer.ema is not None)))
        record |= {f"evaluation/{name}": value for name, value in metrics.items()}
        best = self.course.judge(metrics)
        if best and self.trainer.patience:
            self._best = jax.tree.map(lambda x: x.copy(), self.machine.state())
        self._early = self._patience_ended
        return best

    def _note(self, record: Record) -> None:
        record |= _told(self.monitor.see(record))
        if wrong := self.tracking.log(record, record["step"]):
            record["trackers"] = wrong
        self.course.history.append(record)
        self._write(record)
        if self._tell:
            self._tell(record)

    def _write(self, record: Record) -> None:
        if self._lines:  # line by line, so that a run that dies leaves its log
            self._lines.write(json.dumps(record) + "\n")
            self._lines.flush()

    def _give_up(self, steps: int) -> None:
        kept = ""
        if self.keeping:
            self._save(best=False)
            self.keeping.checkpoints.wait()
            kept = f" The parameters of before are kept in {self.keeping.checkpoints.folder}."
        raise Diverged(
            f"the loss or its gradient was not finite in {steps} steps in a row; none of them was applied.{kept} "
            f"It began so: {self.course.began}. Lower the learning rate (lr), or mend what is broken in the data"
        )

    def _named(self, number: int, told: dict[str, np.ndarray]) -> str:
        """Which field and which items, or which parameters, were not finite in step `number`."""
        rows = {key.removeprefix("bad_rows/"): np.flatnonzero(x) for key, x in told.items() if key.startswith("bad_rows/")}
        said = [f"{field} of {', '.join(self._ids(number, at))}" for field, at in rows.items() if len(at)]
        if not said:
            names = [name for name, fine in zip(self.machine.names, told["finite"], strict=True) if not fine]
            said = [f"the gradient of {', '.join(names[:4])}{' …' if len(names) > 4 else ''}" if names else "the loss"]
        return f"step {number}: {'; '.join(said)}"

    def _ids(self, number: int, rows: np.ndarray) -> list[str]:
        """What some rows of the batch of a step are called."""
        names = self.stream.names(number - 1)
        if self._place:
            rows = self._place.origin(len(names))[rows]
        return [names[int(row)] for row in rows[:4]] + (["…"] if len(rows) > 4 else [])

    def _save(self, best: bool) -> None:
        assert self.keeping is not None
        about = {"stream": self.stream.state(), "course": self.course.state()}
        arrays, notes = self.machine.state(), self.course.notes() | {"monitor": self.monitor.state()}
        self.keeping.checkpoints.save(self.course.taken, arrays, about, best=best, notes=notes)

    def _resume(self, checkpoints: Checkpoints) -> None:
        saved = checkpoints.load(like=self.machine.state())
        if saved is None:
            return
        self.machine.restore(saved.arrays)
        self.stream.restore(saved.about["stream"])
        self.course.restore(saved.about["course"], saved.notes)
        self.monitor.restore(saved.notes["monitor"])
        self._told, self._early = saved.told, self._patience_ended
        if self.trainer.patience and self.course.best_step is not None:
            try:
                best = checkpoints.load(self.course.best_step, like=self.machine.state())
                self._best = best.arrays if best else None
            except BadFile as error:  # the run can go on without it
                self._told += (f"the best so far is lost: {error}",)

    def _interrupted(self, request: Request) -> None:
        assert self.keeping is not None
        self.keeping.checkpoints.wait()
        raise Interrupted(
            f"stopped by {request.by} after step {self.course.taken} of {self.experiment.steps}; everything is saved in "
            f"{self.keeping.checkpoints.folder}. With resume it goes on as if nothing had happened"
        )


def _told(findings: Sequence[Finding]) -> Record:
    return {"findings": [asdict(finding) for finding in findings]} if findings else {}


def minimise(
    model: nnx.Module,
    objective: Objective,
    stream: Iterable[Batch],
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    seed: int = 0,
    tell: Tell | None = None,
) -> list[Record]:
    """Trains any module in place on `steps` batches of `stream`; gives the history, as `fit` does."""
    machine, batches = Step(model, objective, optimizer, seed=seed), iter(stream)
    batch = next(batches)
    course = Course(steps, size(batch))
    history = [course.compiled(machine.compile(batch))]
    if tell:
        tell(history[0])
    while course.taken < steps:
        out = machine(batch)
        course.took(out)
        if course.due:
            record, failed = course.record()
            if failed:
                raise Diverged(f"the loss is not finite at step {failed[0][0]}: lower the learning rate, or look at the data")
            history.append(record)
            if tell:
                tell(record)
        if course.taken < steps:
            batch = jax.device_put(next(batches))
    nnx.update(model, nnx.state(machine.model()))
    return history
