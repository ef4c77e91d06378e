"""What a run tells of itself: its records, its clock, its best evaluation. It can be saved and gone on with."""

import math
import time
from typing import Any

import jax
import numpy as np

Record = dict[str, Any]
RECORDS = 200
"""About as many records a run are kept, each the mean over the steps since the one before."""
LONGEST = 50
"""Steps that a record covers at most: so late is a run stopped that has gone wrong."""
QUIET = ("skipped", "bad")


class Course:
    """The history of a run of `steps` steps, and what it is going to be told next."""

    def __init__(self, steps: int, rows: int, metric: str = "recall@1"):
        self.history: list[Record] = []
        self.taken = 0
        self.best: float | None = None
        self.best_step: int | None = None
        self.worse = 0
        self.began = ""
        """What was not finite in the first of the last steps in a row that were not applied."""
        self.every = max(1, min(steps // RECORDS, LONGEST))
        """Steps a record."""
        self._steps, self._rows, self._metric = steps, rows, metric
        self._pending: list[dict[str, Any]] = []
        self._spent, self._idle, self._start = 0.0, 0.0, time.perf_counter()

    def took(self, out: dict[str, jax.Array]) -> None:
        self._pending.append(out)
        self.taken += 1

    def waited(self, seconds: float) -> None:
        """So long the device had nothing to do."""
        self._idle += seconds

    @property
    def due(self) -> bool:
        return self.taken % self.every == 0 or self.taken == self._steps

    def record(self) -> tuple[Record, list[tuple[int, dict[str, np.ndarray]]]]:
        """The means over the steps since the last record, and those steps (number, what they told) that were not applied.

        Waits for the last of them. What is not finite in a step that was not applied is left out of the means; a mean of
        nothing is None.
        """
        told = self._fetched()
        first = self.taken - len(told) + 1
        failed = [(first + at, row) for at, row in enumerate(told) if row.get("bad", 0)]
        entry: Record = {"step": self.taken}
        for key, value in told[-1].items():
            if np.ndim(value) == 0 and key not in QUIET:
                values = [float(row[key]) for row in told if not row.get("bad", 0) or math.isfinite(row[key])]
                entry[key] = sum(values) / len(values) if values else None
        seconds = self._spent + time.perf_counter() - self._start
        entry |= {"seconds": round(seconds, 3), "samples_per_second": round(self.taken * self._rows / max(seconds, 1e-9), 1)}
        entry["busy"] = round(1 - self._idle / max(seconds, self._idle, 1e-3), 4)
        if "skipped" in told[-1]:
            entry["skipped"] = int(told[-1]["skipped"])
        self._pending = []
        return entry, failed

    def compiled(self, seconds: float) -> Record:
        """The first record; the clock runs from here on."""
        self._start = time.perf_counter()
        return {"step": 0, "seconds/compile": round(seconds, 3)}

    def judge(self, metrics: dict[str, float]) -> bool:
        """Notes the mean of the metric over all directions; whether it is the best so far."""
        values = [value for name, value in metrics.items() if name.endswith(f"/{self._metric}")]
        mean = float(np.mean(values)) if values else -math.inf
        if self.best is None or mean > self.best:
            self.best, self.best_step, self.worse = mean, self.taken, 0
            return True
        self.worse += 1
        return False

    def state(self) -> dict[str, Any]:
        """What decides what is told and kept from here on, as JSON. Numbers that no record tells yet are in it as they are."""
        pending = [{key: np.asarray(value).tolist() for key, value in row.items()} for row in self._fetched()]
        return {
            "taken": self.taken,
            "best": [self.best, self.best_step, self.worse],
            "began": self.began,
            "pending": _json(pending),
        }

    def notes(self) -> dict[str, Any]:
        """What was told so far and how long it took, which decide nothing."""
        return {"history": self.history, "clock": [self._spent + time.perf_counter() - self._start, self._idle]}

    def restore(self, state: dict[str, Any], notes: dict[str, Any]) -> None:
        self.taken, self.history = state["taken"], list(notes["history"])
        (self.best, self.best_step, self.worse), self.began = state["best"], state["began"]
        self._pending = [{key: np.asarray(_number(value)) for key, value in row.items()} for row in state["pending"]]
        (self._spent, self._idle), self._start = notes["clock"], time.perf_counter()

    def _fetched(self) -> list[dict[str, np.ndarray]]:
        self._pending = jax.device_get(self._pending)
        return self._pending


def _json(value: Any) -> Any:
    """With the numbers that JSON has not as text."""
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
