"""How much faster is training where another allocator keeps the memory that a step gives back? Recipes of the world, in turns.

XLA asks malloc for some 100 MB a step and gives it back; glibc hands it to the system, which clears every page anew. Each turn
trains a few steps in a process of its own, as it is and with each library below that is there put before glibc's (Debian:
libtcmalloc-minimal4, libjemalloc2). Writes results/allocator.json. Run alone on a Linux machine:
python benchmarks/allocator.py [--recipes pictures questions senses] [--steps 40] [--turns 3]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from ctypes.util import find_library
from dataclasses import replace

from common.record import write

LIBRARIES: dict[str, dict[str, str]] = {
    "glibc": {},
    "tcmalloc": {"LD_PRELOAD": "libtcmalloc_minimal.so.4"},
    "jemalloc": {"LD_PRELOAD": "libjemalloc.so.2", "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0"},
}
"""What a process is started with; jemalloc gives great blocks back at once unless told otherwise."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["pictures", "questions", "senses"])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(trained(asked.one, asked.steps)))
        return 0
    there = {name: told for name, told in LIBRARIES.items() if found(told.get("LD_PRELOAD"))}
    if len(there) < 2:
        parser.error("nothing to compare with: install libtcmalloc-minimal4 or libjemalloc2")
    results = {}
    for recipe in asked.recipes:
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in there}
        for _ in range(asked.turns):
            for name, told in there.items():
                line = [sys.executable, __file__, "--one", recipe, "--steps", str(asked.steps)]
                said = subprocess.run(line, env=os.environ | told, stdout=subprocess.PIPE, text=True, check=True).stdout
                turns[name].append(json.loads(said.splitlines()[-1]))
        if len({turn["loss"] for of in turns.values() for turn in of}) > 1:
            raise SystemExit(f"{recipe}: another allocator gave another loss: {turns}")
        of_each = {name: {key: statistics.median(turn[key] for turn in of) for key in of[0]} for name, of in turns.items()}
        for name, kept in of_each.items():
            kept["times as fast"] = round(of_each["glibc"]["seconds"] / kept["seconds"], 3)
            print(recipe, name, kept, flush=True)
        results[recipe] = of_each
    question = (__doc__ or "").partition("\n")[0]
    write("allocator", {"question": question, "steps": asked.steps, "turns": asked.turns, "medians": results})
    return 0


def found(library: str | None) -> bool:
    """Whether the loader finds a library by its name, such as libjemalloc.so.2; None is no library. Not by loading it, which
    jemalloc refuses once a process has begun."""
    return library is None or find_library(library.removeprefix("lib").partition(".so")[0]) == library


def trained(recipe: str, steps: int) -> dict[str, float]:
    """Seconds of so many steps and of their compilation, the last loss, page faults and peak memory of this process."""
    import sensorium

    experiment = replace(getattr(sensorium.recipes, recipe)(steps=steps, seed=0), truth=None)
    with tempfile.TemporaryDirectory() as folder:
        history = sensorium.train(experiment, folder, overwrite=True).history
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": history[-1]["seconds"],
        "compile": history[0]["seconds/compile"],
        "loss": history[-1]["loss"],
        "page faults": used.ru_minflt,
        "seconds in the system": round(used.ru_stime, 1),
        "peak MB": used.ru_maxrss // 1024,
    }


if __name__ == "__main__":
    sys.exit(main())
