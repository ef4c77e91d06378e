"""How well do the recipes of the built-in world tell, answer, paint, play and move, and in what time? Held against the truth.

Each recipe is trained as `sensorium learn` trains it, for each seed in a process of its own, and measured on scenes that it never
saw and on combinations of shape and colour that training never showed (`sensorium.truth`). `anything` goes through a space of the
recipe `senses` of the same seed, which is trained first and whose time is told apart. Writes results/learn.json after every run,
and keeps what stands there of others. Exits with 1 where a goal is missed, be it as a seed of 0, 1 and 2 was not run.
Run alone on a machine: python benchmarks/learn.py [--seeds 0 1 2] [--recipes captions pictures] [--place runs]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from common.record import HERE, write

SEEDS = (0, 1, 2)
"""Those by which a goal is held: all of them reach it."""


class Goal(NamedTuple):
    """A number that is to be reached by so many seconds of training."""

    recipe: str
    number: str
    least: float
    seconds: float


GOALS = (
    Goal("captions", "validation/exact", 0.80, 240),
    Goal("questions", "validation/accuracy", 0.85, 360),
    Goal("pictures", "validation/attributes", 0.85, 480),
    Goal("pictures", "validation/exact", 0.40, 480),
    Goal("sounds", "validation/attributes", 0.85, 300),
    Goal("clips", "validation/motion", 0.80, 480),
    Goal("anything", "audio->image/validation/attributes", 0.70, float("inf")),
)
RUNS: dict[str, list[str]] = {
    "captions": [],
    "questions": [],
    "questions-blind": ["--blind"],
    "pictures": [],
    "sounds": [],
    "clips": [],
    "senses": [],
    "anything": ["--targets", "image", "text"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--recipes", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument(
        "--place",
        type=Path,
        help="where the runs of one seed are made, and kept; what is there already is read, as what `sensorium demo --full` left",
    )
    asked = parser.parse_args()
    if asked.place is not None and len(asked.seeds) > 1:
        parser.error("--place is for the runs of one seed: --seeds 2")
    path = HERE / "results" / "learn.json"
    runs: dict[str, dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else {}
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name in asked.recipes:
                runs.setdefault(name, {})[str(seed)] = learned(name, seed, asked.place or Path(folder))
                write("learn", {"question": (__doc__ or "").partition("\n")[0], "goals": met(runs), "runs": runs})
    for goal in met(runs):
        print({key: value for key, value in goal.items() if key != "met"}, "met" if goal["met"] else "MISSED")
    return int(not all(goal["met"] for goal in met(runs)))


def learned(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """What the files of a run say, which `sensorium learn` makes where there is none: its numbers, arguments, seconds."""
    recipe, out = name.partition("-")[0], folder / name
    if not (out / "metrics.json").is_file():
        line = [sys.executable, "-m", "sensorium", "learn", recipe, "--out", str(out), "--seed", str(seed), *RUNS[name]]
        if recipe == "anything":
            if not (folder / "senses").is_dir():
                learned("senses", seed, folder)
            line += ["--init", str(folder / "senses")]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}, seed {seed}: {done.stderr[-2000:]}")
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    numbers, arguments = (json.loads((out / file).read_text()) for file in ("metrics.json", "run.json"))
    arguments = {key: value for key, value in arguments["arguments"].items() if key != "init"}
    if arguments["seed"] != seed:
        raise SystemExit(f"{out} is of the seed {arguments['seed']}: asked for {seed}")
    seconds = {"compile": log[0]["seconds/compile"], "train": log[-1]["seconds"]}
    print(name, seed, seconds, {k: round(v, 3) for k, v in numbers.items() if k.count("/") == 1}, flush=True)
    found = {"seconds": seconds, "arguments": arguments, "loss": log[-1]["loss"], "metrics": numbers}
    return found | ({"allocator": os.environ["LD_PRELOAD"]} if os.environ.get("LD_PRELOAD") else {})


def met(runs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each goal with what every seed reached, which of `SEEDS` are missing, and whether all are there and did it in time."""
    out = []
    for goal in GOALS:
        seeds = runs.get(goal.recipe, {})
        reached = {seed: run["metrics"][goal.number] for seed, run in seeds.items()}
        took = {seed: run["seconds"]["compile"] + run["seconds"]["train"] for seed, run in seeds.items()}
        missing = [seed for seed in SEEDS if str(seed) not in seeds]
        good = not missing and min(reached.values()) >= goal.least and max(took.values()) <= goal.seconds
        limit = None if goal.seconds == float("inf") else goal.seconds
        said = {"recipe": goal.recipe, "number": goal.number, "goal": goal.least, "seconds at most": limit}
        out.append(said | {"reached": reached, "seconds": took, "missing seeds": missing, "met": good})
    return out


if __name__ == "__main__":
    sys.exit(main())
