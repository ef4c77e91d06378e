"""Does the alignment audit of `sensorium data check --model` find pairs that do not belong together?

A model is trained on the built-in world (400 steps, some minutes). Then 300 other scenes are written as files, 12 of which
have the caption of another one, and the same 300 as they should be. Of the suspects in the order of the report it is counted
how many of the 12 are among the first 12 and the first 24, and how many are named of the good set.
Writes results/audit.json, and exits with 1 below the target. Run: python benchmarks/audit.py [a trained model's folder]
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common.record import write

import sensorium
from sensorium.cli.data import audit_of
from sensorium.data.synthetic import write_world
from sensorium.doctor import examine
from sensorium.recipes import senses
from sensorium.world import caption, scene

SCENES, PLANTED, STEPS = 300, 12, 400
TARGET = {"among the first 12": 9, "among the first 24": 11}


def main(model: Path | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        trained = model or _train(Path(folder) / "run")
        wrong = np.random.default_rng(0).choice(SCENES, PLANTED, replace=False)
        found = _suspects(Path(folder) / "planted", trained, wrong)
        good = _suspects(Path(folder) / "good", trained, wrong[:0])
    planted = {f"{row:05d}" for row in wrong}
    first = {f"among the first {n}": len(planted & set(found[:n])) for n in (PLANTED, 2 * PLANTED)}
    missed = [name for name, least in TARGET.items() if first[name] < least]
    result: dict[str, Any] = {
        "question": f"how many of {PLANTED} wrong captions in {SCENES} the audit finds with a model of {STEPS} steps",
        **first,
        "suspects": len(found),
        "suspects where nothing is wrong": len(good),
        "targets": TARGET,
        "missed": missed,
    }
    print(result)
    write("audit", result)
    return int(bool(missed))


def _train(out: Path) -> Path:
    sensorium.train(senses(steps=STEPS), out, lambda record: print(record.get("step"), record.get("loss"), flush=True))
    return out


def _suspects(folder: Path, model: Path, wrong: np.ndarray) -> list[str]:
    """The names of the items whose pairs look mismatched, the worst first, where the captions of `wrong` went round."""
    scenes = scene.distinct("validation", SCENES)
    captions = caption.render(scenes, "list")
    moved = list(captions)
    for row, other in zip(wrong, np.roll(wrong, 1), strict=True):
        moved[row] = captions[other]
    write_world(folder, scenes, [moved])
    report = examine(folder, audit=audit_of(str(model)))
    suspects = [Path(one.paths[0]).stem for one in report.findings if one.kind == "looks mismatched"]
    return list(dict.fromkeys(suspects))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
