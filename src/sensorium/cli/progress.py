"""Progress on stderr: a bar for a person at a terminal, a line now and then in a log, nothing for a machine."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

EVERY = 10.0
"""Seconds between two lines of a task where there is no terminal."""
_SILENT = ContextVar("silent", default=False)


def progress(quiet: bool = False) -> Progress:
    """A context manager: `with progress() as bar: task = bar.add_task("training", total=100, text="loss 4.2")`.

    `bar.update(task, completed=…, text=…)` moves it; `text` says whatever the task has to say. `quiet`, and `--json` on the
    command line, show nothing.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        _Says(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    if quiet or _SILENT.get():
        return Progress(*columns, console=console, disable=True)
    return Progress(*columns, console=console) if console.is_terminal else _Log(console)


@contextmanager
def silenced() -> Iterator[None]:
    """Within it `progress()` shows nothing."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


class _Says(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("text", "")))


class _Log(Progress):
    """Progress without a display: it prints a line a task every `EVERY` seconds, and one when the task is done."""

    def __init__(self, console: Console):
        super().__init__(console=console, disable=True)
        self._due: dict[TaskID, float] = {}

    def add_task(self, *args, **kwargs) -> TaskID:
        task = super().add_task(*args, **kwargs)
        self._due[task] = time.monotonic() + EVERY
        return task

    def update(self, task_id: TaskID, **kwargs) -> None:
        super().update(task_id, **kwargs)
        self._say(self._tasks[task_id])

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._say(self._tasks[task_id])

    def _say(self, task: Task) -> None:
        now = time.monotonic()
        if now < self._due[task.id] and not (task.finished and math.isfinite(self._due[task.id])):
            return
        self._due[task.id] = math.inf if task.finished else now + EVERY
        total = "" if task.total is None else f"/{task.total:.0f}"
        words = [
            f"{task.description}:",
            f"{task.completed:.0f}{total}",
            str(task.fields.get("text", "")),
            f"{task.elapsed:.0f} s",
            _left(task),
        ]
        print(" ".join(word for word in words if word), file=sys.stderr, flush=True)


def _left(task: Task) -> str:
    """How long it will take from here on, at the pace that it had so far."""
    if task.finished or not (task.completed and task.total and task.elapsed):
        return ""
    return f"(about {task.elapsed * (task.total - task.completed) / task.completed:.0f} s to go)"
