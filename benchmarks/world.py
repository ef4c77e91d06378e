"""Is the built-in world ever the bottleneck? Scenes a second: rendered, read as batches, and trained on.

A scene is a 64×64 picture, a caption and one second of sound at 16 kHz. Writes results/world.json, and exits with 1 below
the target. Run: python benchmarks/world.py
"""

import statistics
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
from common.record import write

from sensorium.recipes import senses
from sensorium.training import Step, contrast
from sensorium.world import caption, picture, scene, sound

BATCH, RUNS, TARGET = 128, 15, 2000


def main() -> int:
    experiment = senses(steps=RUNS + 1)
    step = Step(experiment.model.build(0), contrast(experiment.losses), experiment.optimizer)
    batch = experiment.source.read(np.arange(BATCH))
    measured = {
        "rendered": _rate(_render),
        "read as a batch": _rate(lambda i: experiment.source.read(np.arange(i * BATCH, (i + 1) * BATCH))),
        "trained on": _rate(lambda i: jax.block_until_ready(step(batch))),
    }
    write("world", {"question": "scenes a second, one process", "scenes_per_second": measured, "target": {"rendered": TARGET}})
    for name, value in measured.items():
        print(f"{name}: {value['median']:.0f} scenes/s")
    return int(measured["rendered"]["median"] < TARGET)


def _render(i: int) -> None:
    scenes = scene.draw("train", np.arange(i * BATCH, (i + 1) * BATCH))
    picture.render(scenes)
    caption.render(scenes, "list")
    sound.mono(scenes)


def _rate(work: Callable[[int], object]) -> dict[str, float]:
    """Scenes a second of some runs of `work`, the first one (tables are made, programs compiled) not counted."""
    rates = []
    for i in range(RUNS + 1):
        start = time.perf_counter()
        work(i)
        rates.append(BATCH / (time.perf_counter() - start))
    rates = rates[1:]
    return {"median": round(statistics.median(rates), 1), "min": round(min(rates), 1), "max": round(max(rates), 1)}


if __name__ == "__main__":
    sys.exit(main())
