"""One process of a run of the tiny experiment: `python pair.py OUT STEPS FLAGS…`, started twice by test_hosts.

FLAGS: resume; mesh=MESH; KILL=STEP or TERM=STEP with who=NUMBER: this process gets that signal when it has taken that step.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax
from training.tiny import experiment

from sensorium.core.errors import SensoriumError
from sensorium.core.trainer import Trainer
from sensorium.run import train
from sensorium.training.course import Course
from sensorium.training.hosts import joined


def hears(name: str, after: int) -> None:
    took = Course.took

    def last(self: Course, out: dict[str, Any]) -> None:
        took(self, out)
        if self.taken == after:
            os.kill(os.getpid(), signal.Signals[f"SIG{name}"])

    Course.took = last


def main(out: str, steps: str, *flags: str) -> int:
    told = {flag.partition("=")[0]: flag.partition("=")[2] for flag in flags}
    try:
        with joined():
            for name in ("KILL", "TERM"):
                if name in told and jax.process_index() == int(told["who"]):
                    hears(name, int(told[name]))
            trainer = Trainer(mesh=told.get("mesh", "data=-1"), save_every=10)
            train(experiment(int(steps), trainer=trainer), Path(out), resume="resume" in told)
    except SensoriumError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
