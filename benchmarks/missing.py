"""What does it cost when half of everything is missing? R@1 on the built-in world, learned from whole scenes and from halves.

Pictures, captions and sounds of the recipe `senses`, the same number of steps and rows; in the second run each of the three is
absent from a row with a chance of a half (a row keeps at least one), so that a pair is there in about a quarter of the rows.
Measured on scenes that training never showed, in all six directions. Writes results/missing.json, and exits with 1 below the
target. Run: python benchmarks/missing.py [--steps 1100] (about ten minutes)
"""

import argparse
import sys
from dataclasses import replace
from itertools import permutations

import numpy as np
from common.record import write

from sensorium.core.batch import here
from sensorium.data.augment import Augmented
from sensorium.data.synthetic import World
from sensorium.metrics import retrieval
from sensorium.recipes import senses
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment, fit

GALLERY, MISSING, TARGET = 1000, 0.5, 0.9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1100)
    steps = parser.parse_args().steps
    whole = senses(steps=steps, missing=0.0)
    fields = [field.name for field in whole.fields]
    halves = replace(whole, source=Augmented(whole.source, {}, dropout=dict.fromkeys(fields, MISSING)))
    found = {name: measure(experiment) for name, experiment in (("whole", whole), ("half missing", halves))}
    kept = {name: found["half missing"][name] / found["whole"][name] for name in found["whole"] if name.endswith("recall@1")}
    mean = float(np.mean(list(kept.values())))
    write(
        "missing",
        {
            "question": "R@1 after training on rows half of whose entries are missing, over R@1 after training on whole rows",
            "steps": steps,
            "gallery": GALLERY,
            "measured": found,
            "kept": {**kept, "mean": mean},
            "target": TARGET,
        },
    )
    print({name: round(value, 3) for name, value in kept.items()}, f"mean {mean:.3f} (target {TARGET})")
    return int(mean < TARGET)


def measure(experiment: Experiment) -> dict[str, float]:
    """R@1 in every direction with the share of pairs that training showed, and its seconds."""
    model, history = fit(experiment)
    made = Sensorium(model, experiment.fields, experiment.model)
    batch = World(experiment.fields, "validation", GALLERY).read(np.arange(GALLERY))
    names = [field.name for field in experiment.fields]
    parts = [made.units({key: x[at : at + 100] for key, x in batch.items()}, 100) for at in range(0, GALLERY, 100)]
    units = {name: np.concatenate([part[f"{name}/unit"] for part in parts]) for name in names}
    found = {"seconds": history[-1]["seconds"], "loss": history[-1]["loss"]}
    seen = [
        experiment.source.read(np.arange(at, at + experiment.batch), at)
        for at in range(0, 10 * experiment.batch, experiment.batch)
    ]
    for a, b in permutations(names, 2):
        found[f"{a}->{b}/recall@1"] = retrieval(units[a], units[b], batch["group"], batch["group"], (1,))["recall@1"]
        found[f"{a}->{b}/rows that had both"] = float(np.mean([here(one, a, b).mean() for one in seen]))
    print({name: round(value, 3) for name, value in found.items()}, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
