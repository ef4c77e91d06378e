"""A supervisor of processes that make shards. One that dies is replaced, and its shard tried again: `trail` finds the record."""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from sensorium.bulk.job import Job
from sensorium.bulk.run import Deaths, Done, attempt
from sensorium.bulk.shard import Step
from sensorium.bulk.spec import Spec
from sensorium.core.errors import SensoriumError

PATIENCE = 10.0
"""Seconds that a process has to end when it is asked to."""


def processes(
    spec: Spec, shards: Sequence[int], done: Done, step: Step, workers: int = 2, devices: Sequence[str] = ()
) -> dict[int, str]:
    """Makes shards in as many processes; which were given up, and why. Each loads the model for itself.

    `devices`: one process for each instead, which sees that GPU alone (`CUDA_VISIBLE_DEVICES`). Processes are spawned, so a
    script that calls this needs its `if __name__ == "__main__":`. What is no fault of a record (no such model) is raised, as is a
    `SensoriumError` for fewer than one of `workers`.
    """
    if workers < 1 and not devices:
        raise SensoriumError(f"{workers} workers: expected at least 1 process to make the {len(shards)} shards in")
    crew = _Crew(spec, shards, done, step, devices or [None] * workers)
    try:
        while crew.give():
            crew.hear()
    finally:
        crew.end()
    return crew.failed


@dataclass
class _Worker:
    process: SpawnProcess
    line: Connection
    device: str | None
    shard: int | None = None


class _Crew:
    def __init__(self, spec: Spec, shards: Sequence[int], done: Done, step: Step, devices: Sequence[str | None]):
        self.spec, self.done, self.step = spec, done, step
        self.failed, self.deaths = dict[int, str](), Deaths(spec)
        self.rest, self.free, self.workers = deque(shards), deque(devices), list[_Worker]()

    def give(self) -> bool:
        """Gives a shard to everyone who has none; False once nobody has one."""
        for worker in self.workers:
            if self.rest and worker.shard is None:
                self._send(worker)
        while self.rest and self.free:
            self.workers.append(worker := _started(self.spec, self.free.popleft()))
            self._send(worker)
        return any(worker.shard is not None for worker in self.workers)

    def hear(self) -> None:
        """Waits until at least one process has answered, or died."""
        heard = wait([worker.line for worker in self.workers])
        for worker in [worker for worker in self.workers if worker.line in heard]:
            try:
                told, what = worker.line.recv()
            except (EOFError, OSError):
                self._bury(worker)
            else:
                self._took(worker, told, what)

    def end(self) -> None:
        """Idle processes end by themselves, others are asked to, and killed if they do not."""
        for worker in self.workers:
            worker.line.close()
            if worker.shard is not None:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _send(self, worker: _Worker) -> None:
        worker.shard = self.rest.popleft()
        with suppress(OSError):  # it has died: its line will say so
            worker.line.send(worker.shard)

    def _took(self, worker: _Worker, told: str, what: Any) -> None:
        if told == "step":
            self.step(what)
            return
        shard, worker.shard = worker.shard, None
        assert shard is not None
        if told == "done":
            self.done(what)
        elif told == "given up":
            self.failed[shard] = what
        elif told == "busy":
            self.rest.append(shard)
            time.sleep(0.1)
        else:
            raise what

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        worker.line.close()
        self.workers.remove(worker)
        self.free.append(worker.device)
        if worker.shard is None:
            return
        why = self.deaths.again(worker.shard, _how(worker.process.exitcode))
        if why is None:
            self.rest.appendleft(worker.shard)
        else:
            self.failed[worker.shard] = why


def _started(spec: Spec, device: str | None) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(spec, theirs, device), daemon=True)
    process.start()
    theirs.close()  # so that its end is the end of the line
    return _Worker(process, ours, device)


def _work(spec: Spec, line: Connection, device: str | None) -> None:
    """What a process does: it makes the shards that it is told to, until nobody is there to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the supervisor ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that it does not look like a crash
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    job: Job | None = None
    with suppress(EOFError, OSError):
        while True:
            shard = line.recv()
            try:
                job = job or Job(spec)
            except Exception as error:
                line.send(("error", error))
                return
            line.send(attempt(spec, shard, job, lambda items: line.send(("step", items))))


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}" + (", perhaps out of memory" if code == -signal.SIGKILL else "")
    return f"exit code {code}"
