"""Where shards are made: in this process, in processes that may die, as tasks of Ray. The shards are the same."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from sensorium.bulk.job import Job
from sensorium.bulk.shard import Report, Step, run_shard, trail_of
from sensorium.bulk.spec import Spec
from sensorium.bulk.trail import GivenUp
from sensorium.checkpoints.lock import InUse
from sensorium.core.errors import SensoriumError
from sensorium.core.files import read_json

Done = Callable[[Report], None]
"""What is called with the report of each shard, in the order in which they become whole."""
Answer = tuple[str, Any]
"""("done", the report), ("busy", None), ("given up", why) or ("error", the exception)."""
DEATHS = 64
"""Processes that may die at one shard: some ten find a record that kills."""
IDLE = 3
"""Deaths of a shard's process, one after another, while it was at no record: then the records are not to blame."""


def here(spec: Spec, shards: Sequence[int], done: Done, step: Step) -> dict[int, str]:
    """Makes shards one after another in this process; which were given up, and why. Those that others make are waited for."""
    job, rest, failed = Job(spec), deque(shards), {}
    while rest:
        i = rest.popleft()
        told, what = attempt(spec, i, job, step)
        if told == "busy":
            rest.append(i)
            time.sleep(0.2)
        elif told == "done":
            done(what)
        elif told == "given up":
            failed[i] = what
        else:
            raise what
    return failed


def attempt(spec: Spec, i: int, job: Job, step: Step) -> Answer:
    """`run_shard`, and what came of it in a form that goes from process to process."""
    try:
        return "done", run_shard(spec, i, job, step)
    except InUse:
        return "busy", None
    except GivenUp as error:
        return "given up", str(error)
    except Exception as error:
        return "error", error


class Deaths:
    """How often processes died at which shard, and whether it is worth while to go on."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self._all: Counter[int] = Counter()
        self._idle: Counter[int] = Counter()

    def again(self, i: int, how: str) -> str | None:
        """To be told of each death: None where the shard should be tried again, else why it is given up. A `SensoriumError`
        where processes die at no record."""
        self._all[i] += 1
        trail = trail_of(self.spec.out, i)
        if trail.exists() and read_json(trail)["at"] is not None:
            self._idle[i] = 0
        else:
            self._idle[i] += 1
        if self._idle[i] >= IDLE:
            raise SensoriumError(
                f"{IDLE} processes died one after another ({how}) at no record of shard {i}, but before or after all of them: "
                "see what they wrote, or run it in this process: --engine here"
            )
        return f"{DEATHS} processes died at it, the last one: {how}" if self._all[i] >= DEATHS else None
