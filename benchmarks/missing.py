"""What does it cost when half of everything is missing? R@1 on the built-in world, learned from whole scenes and from halves.

Pictures, captions and sounds of the recipe `senses`. In the second data set each of the three is absent from a scene with a
chance of a half; scenes with one of them or none teach nothing and are left out, as the recipe `folder` does. A pair is then
there in half of the rows. Three trainings: whole rows; halves with the same number of steps; halves until each pair was seen as
often as in the first (twice the steps). Measured on scenes that training never showed, in all six directions. Writes
results/missing.json, and exits with 1 where either of the halves keeps less than the target.
The rows that are trained on then lack a quarter of their entries, and come from twice as many scenes: a collection of fixed size,
of which half the rows are left, was not measured. With such rows kept in the batches 64 % was left (docs/log.md).
Run: python benchmarks/missing.py [--steps 1100] (about twenty minutes)
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
from common.record import write

from sensorium.core.batch import Batch, here
from sensorium.core.protocols import Source
from sensorium.data.synthetic import World
from sensorium.metrics import retrieval
from sensorium.recipes import senses
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment, fit

GALLERY, MISSING, TARGET = 1000, 0.5, 0.9
AS_OFTEN = 2
"""How many times the steps until a pair was seen as often as in whole rows: both of a pair, given that two of three are there."""


class Halves:
    """The rows of a world from which entries are missing at random, but for those with fewer than two entries."""

    def __init__(self, world: World, rows: int, seed: int):
        there = np.random.default_rng(seed).random((rows * 3, len(world.fields))) >= MISSING
        self.world, self.kept = world, np.flatnonzero(there.sum(axis=1) >= 2)[:rows]
        self.there = there[self.kept]
        assert len(self.kept) == rows

    def __len__(self) -> int:
        return len(self.kept)

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        batch = self.world.read(self.kept[np.asarray(rows)], draw)
        return batch | {f"{field.name}/here": self.there[rows, i] for i, field in enumerate(self.world.fields)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1100)
    steps = parser.parse_args().steps
    runs = {
        "whole": senses(steps=steps, missing=0.0),
        "half missing, as many steps": halved(steps),
        "half missing, each pair as often": halved(steps * AS_OFTEN),
    }
    found = {name: measure(experiment) for name, experiment in runs.items()}
    kept = {name: share(one, found["whole"]) for name, one in found.items() if name != "whole"}
    write(
        "missing",
        {
            "question": "R@1 after training on rows half of whose entries are missing, over R@1 after training on whole rows",
            "steps": {name: experiment.steps for name, experiment in runs.items()},
            "gallery": GALLERY,
            "measured": found,
            "kept": kept,
            "target": TARGET,
        },
    )
    for name, one in kept.items():
        print(name, {key: round(value, 3) for key, value in one.items()}, f"(target {TARGET})")
    return int(min(one["mean"] for one in kept.values()) < TARGET)


def halved(steps: int) -> Experiment:
    experiment = senses(steps=steps, missing=0.0)
    rows = steps * experiment.batch
    world = World(experiment.fields, items=3 * rows, seed=experiment.seed, twins=1.0, styles=(0.4, 0.1, 0.5))
    return replace(experiment, source=Halves(world, rows, seed=1))


def share(found: dict[str, float], whole: dict[str, float]) -> dict[str, float]:
    kept = {name: found[name] / whole[name] for name in whole if name.endswith("recall@1")}
    return kept | {"mean": float(np.mean(list(kept.values())))}


def measure(experiment: Experiment) -> dict[str, float]:
    """R@1 in every direction with the share of rows that had both, and the seconds of training."""
    model, history = fit(experiment)
    made = Sensorium(model, experiment.fields, experiment.model)
    batch = World(experiment.fields, "validation", GALLERY).read(np.arange(GALLERY))
    names = [field.name for field in experiment.fields]
    parts = [made.units({key: x[at : at + 100] for key, x in batch.items()}, 100) for at in range(0, GALLERY, 100)]
    units = {name: np.concatenate([part[f"{name}/unit"] for part in parts]) for name in names}
    found = {"seconds": history[-1]["seconds"], "loss": history[-1]["loss"]}
    seen = _some(experiment.source, experiment.batch)
    for a, b in permutations(names, 2):
        found[f"{a}->{b}/recall@1"] = retrieval(units[a], units[b], batch["group"], batch["group"], (1,))["recall@1"]
        found[f"{a}->{b}/rows that had both"] = float(np.mean([here(one, a, b).mean() for one in seen]))
    print({name: round(value, 3) for name, value in found.items()}, flush=True)
    return found


def _some(source: Source, batch: int) -> list[Batch]:
    return [source.read(np.arange(at, at + batch)) for at in range(0, 10 * batch, batch)]


if __name__ == "__main__":
    sys.exit(main())
