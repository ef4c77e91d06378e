"""Shards as tasks of Ray, on the machines of a cluster that is there already, or on this one."""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sensorium.bulk.job import Job
from sensorium.bulk.run import Answer, Deaths, Done, attempt
from sensorium.bulk.shard import Step
from sensorium.bulk.spec import Spec
from sensorium.core.errors import SensoriumError, need

_OPENED: dict[str, Job] = {}
"""The job that a worker of Ray has open: it makes many shards. With GPUs it makes one, as Ray may give it another GPU then."""
_AHEAD = 1000  # tasks that Ray knows of at a time


def ray(
    spec: Spec, shards: Sequence[int], done: Done, step: Step, address: str | None = None, cpus: float = 1, gpus: float = 0
) -> dict[int, str]:
    """Makes shards as tasks of Ray; which were given up, and why. `spec.out` is a folder that all machines see.

    `address`: of a cluster (RAY_ADDRESS, and "auto" for one that this machine belongs to); without one, a cluster of this
    machine is started for it. A task takes so many `cpus` and `gpus`. Ray itself does not retry: every death is told to us. A
    `SensoriumError` where no cluster answers there.
    """
    api = need("ray", "cluster", "--engine ray")
    if min(cpus, gpus) < 0:
        raise SensoriumError(f"cpus={cpus:g}, gpus={gpus:g}: a task takes 0 of them or more")
    ours = not api.is_initialized()
    if ours:
        _begin(api, address)
    try:
        task = api.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1 if gpus else 0)(_task)
        return _supervise(api, task, spec, shards, (done, step))
    finally:
        if ours:
            api.shutdown()


def _begin(api: Any, address: str | None) -> None:
    try:
        api.init(address=address, log_to_driver=False)
    except ConnectionError as error:
        where = address or os.environ.get("RAY_ADDRESS") or "this machine"
        raise SensoriumError(
            f"no Ray cluster lets us in at {where} ({error}): expected the address of one that runs, such as "
            "--address 10.0.0.1:6379. Of one with tokens: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what its head has"
        ) from error


def _answer(api: Any, task: Any, lost: tuple[type[Exception], ...], died: Callable[[str], str | None]) -> tuple[str, Any]:
    """What a task has answered; ("died", why its shard is given up, or None) where its process did."""
    try:
        return api.get(task)
    except lost as error:
        return "died", died(type(error).__name__)


def _supervise(api: Any, task: Any, spec: Spec, shards: Sequence[int], tell: tuple[Done, Step]) -> dict[int, str]:
    deaths, failed, rest, running = Deaths(spec), dict[int, str](), deque(shards), dict[Any, int]()
    lost = (api.exceptions.WorkerCrashedError, api.exceptions.OutOfMemoryError, api.exceptions.NodeDiedError)
    while rest or running:
        while rest and len(running) < _AHEAD:
            i = rest.popleft()
            running[task.remote(spec, i)] = i
        (first, *_), _ = api.wait(list(running), num_returns=1)
        i = running.pop(first)
        told, what = _answer(api, first, lost, partial(deaths.again, i))
        if told == "done":
            tell[0](what)
            tell[1](what.items)
        elif told == "given up" or (told == "died" and what is not None):
            failed[i] = what
        elif isinstance(what, Exception):
            raise what
        else:  # it has died, or another process makes this shard
            rest.append(i)
            time.sleep(0.1)
    return failed


def _task(spec: Spec, i: int) -> Answer:
    if spec.text not in _OPENED:
        _OPENED.clear()
        try:
            _OPENED[spec.text] = Job(spec)
        except Exception as error:
            return "error", error
    return attempt(spec, i, _OPENED[spec.text], lambda items: None)
