"""How long does a person wait before anything happens? `import sensorium` and `sensorium --help`, against a bare Python.

Writes results/start.json beside this file, and exits with 1 where a median misses its target. Run: python benchmarks/start.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from common.record import write

RUNS = 15
TARGETS = {"import sensorium": 0.1, "sensorium --help": 0.3}
"""Seconds: the first above a bare Python, the second in all."""
COMMANDS = {
    "bare python": [sys.executable, "-c", "pass"],
    "import sensorium": [sys.executable, "-c", "import sensorium"],
    "sensorium --help": [str(Path(sys.executable).with_name("sensorium")), "--help"],
}


def main() -> int:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(RUNS + 1):  # taken in turn, so that a busy moment of the machine meets all three
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if run:  # the first one reads the files from the disk and writes the bytecode
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    seconds = {
        "import sensorium": medians["import sensorium"] - medians["bare python"],
        "sensorium --help": medians["sensorium --help"],
    }
    result = {
        "question": "seconds before anything happens; `import sensorium` is above a bare Python",
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "targets": TARGETS,
        "processes": {
            name: {"median": round(medians[name], 4), "min": round(min(values), 4), "max": round(max(values), 4)}
            for name, values in times.items()
        },
        "runs": RUNS,
    }
    write("start", result)
    for name, value in seconds.items():
        print(f"{name}: {value:.3f} s (target {TARGETS[name]} s)")
    return int(any(seconds[name] > TARGETS[name] for name in TARGETS))


if __name__ == "__main__":
    sys.exit(main())
