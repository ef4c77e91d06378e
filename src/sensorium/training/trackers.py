"""Where else a run is told of: TensorBoard, trackio, Weights & Biases, MLflow, each by its own library.

The run's own JSON lines are always written; a tracker is a second listener, and one that fails never stops a training.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sensorium.core.errors import need
from sensorium.core.files import write_text
from sensorium.core.table import Table

PROJECT = "sensorium"
DONE = "done"
"""The status of a run that came to its end; any other word ("stopped", "failed") says how it did not."""


@dataclass(frozen=True)
class Run:
    """What a tracker is told of a run at its start. `step`: where it goes on from, 0 for a new one."""

    name: str
    folder: Path
    arguments: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0


@runtime_checkable
class Tracker(Protocol):
    """Hears of a run: its start, its records, its end."""

    def start(self, run: Run) -> None: ...
    def log(self, record: Mapping[str, Any], step: int) -> None:
        """The numbers of a record; whatever else it holds is left out."""
        ...

    def end(self, status: str) -> None: ...


class TensorBoard:
    """Event files in RUN/tensorboard, by tensorboardX: read with `tensorboard --logdir RUN`."""

    def __init__(self):
        self._library = need("tensorboardX", "track", "tracking with TensorBoard")

    def start(self, run: Run) -> None:
        # What an interrupted run told of steps after its last checkpoint is told again: TensorBoard drops the first telling.
        self._writer = self._library.SummaryWriter(logdir=str(run.folder / "tensorboard"), purge_step=run.step or None)
        self._writer.add_text("arguments", f"```json\n{json.dumps(dict(run.arguments), indent=2, default=str)}\n```", run.step)

    def log(self, record: Mapping[str, Any], step: int) -> None:
        for name, value in numbers(record).items():
            self._writer.add_scalar(name, value, step)

    def end(self, status: str) -> None:
        self._writer.close()


class Wandb:
    """Weights & Biases; its own settings hold (WANDB_MODE=offline writes to RUN/wandb and sends nothing)."""

    def __init__(self):
        self._library = need("wandb", "wandb", "tracking with Weights & Biases")

    def start(self, run: Run) -> None:
        known = _known(run, "wandb")
        self._run = self._library.init(
            project=PROJECT, name=run.name, dir=str(run.folder), config=dict(run.arguments), id=known, resume="allow"
        )
        write_text(run.folder / "wandb.id", self._run.id)

    def log(self, record: Mapping[str, Any], step: int) -> None:
        self._run.log(numbers(record), step=step)

    def end(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == DONE else 1)


class Trackio:
    """trackio: a database on this machine (TRACKIO_DIR), shown with `trackio show`."""

    def __init__(self):
        self._library = need("trackio", "trackio", "tracking with trackio")

    def start(self, run: Run) -> None:
        self._library.init(project=PROJECT, name=run.name, config=dict(run.arguments), resume="allow" if run.step else "never")

    def log(self, record: Mapping[str, Any], step: int) -> None:
        self._library.log(numbers(record), step=step)

    def end(self, status: str) -> None:
        self._library.finish()


class MLflow:
    """MLflow, at the place that MLFLOW_TRACKING_URI names; where it names none in RUN/mlflow.db (which mlflow-skinny cannot)."""

    def __init__(self):
        self._library = need("mlflow", "mlflow", "tracking with MLflow")

    def start(self, run: Run) -> None:
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            self._library.set_tracking_uri(f"sqlite:///{(run.folder / 'mlflow.db').resolve()}")
        self._library.set_experiment(PROJECT)
        known = _known(run, "mlflow")
        started = self._library.start_run(run_id=known, run_name=run.name)
        write_text(run.folder / "mlflow.id", started.info.run_id)
        if known is None:  # MLflow takes the parameters of a run once
            self._library.log_params({name: json.dumps(value, default=str) for name, value in run.arguments.items()})

    def log(self, record: Mapping[str, Any], step: int) -> None:
        self._library.log_metrics(numbers(record), step=step)

    def end(self, status: str) -> None:
        self._library.end_run("FINISHED" if status == DONE else "FAILED")


TRACKERS: Table[type[Tracker]] = Table(
    "tracker", {"tensorboard": TensorBoard, "wandb": Wandb, "trackio": Trackio, "mlflow": MLflow}
)


class Tracking:
    """Several trackers as one. Each call gives what went wrong in it, a sentence for each tracker that failed, which then
    hears no more; nothing that a tracker raises goes further.

    A library that is not installed is told when a tracker is made (`MissingExtra`), before anything has been trained.
    """

    def __init__(self, trackers: Mapping[str, Tracker]):
        self._listening = dict(trackers)

    def start(self, run: Run) -> list[str]:
        return self._each("start", run)

    def log(self, record: Mapping[str, Any], step: int) -> list[str]:
        return self._each("log", record, step)

    def end(self, status: str) -> list[str]:
        return self._each("end", status)

    def _each(self, verb: str, *given: Any) -> list[str]:
        failed = {}
        for name, tracker in self._listening.items():
            try:
                with redirect_stdout(sys.stderr):  # their greetings are no part of what a command prints
                    getattr(tracker, verb)(*given)
            except Exception as error:  # libraries of four strangers, each with errors of its own
                failed[name] = f"{name} stopped tracking at its {verb}: {type(error).__name__}: {error}"
        for name in failed:
            del self._listening[name]
        return list(failed.values())


def tracking(names: tuple[str, ...] | list[str]) -> Tracking:
    """The trackers of these names, together: `tracking(["tensorboard", "wandb"])`."""
    return Tracking({name: TRACKERS[name]() for name in names})


def _known(run: Run, tracker: str) -> str | None:
    """By what identity the tracker knows a run that goes on; none for a new one."""
    path = run.folder / f"{tracker}.id"
    return path.read_text(encoding="utf-8").strip() if run.step and path.is_file() else None


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record but its step."""
    kept = {name: value for name, value in record.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    return {name: float(value) for name, value in kept.items() if name != "step"}
