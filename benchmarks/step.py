"""What does Python cost a training step? Milliseconds of a step whose program does nothing, for the same model and batch.

`Step` (flat lists of arrays, compiled ahead) against nnx.jit, which walks the graph of modules at every call; both are given
the parameters, AdamW's state and the batch of `recipes.senses`. Writes results/step.json, and exits with 1 above the target.
Run: python benchmarks/step.py
"""

import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from common.record import write
from flax import nnx

from sensorium.recipes import senses
from sensorium.training import Step, contrast

RUNS, TARGET = 200, 1.0


class Idle(Step):
    """A step that gives everything back as it came."""

    def _update(self, leaves, rest, state, batch, count):
        return leaves, rest, state, {"loss": jnp.zeros(())}


def main() -> int:
    experiment = senses(steps=10)
    batch = experiment.source.read(np.arange(experiment.batch))
    on_device = jax.device_put(batch)
    idle = Idle(experiment.model.build(0), contrast(experiment.losses), experiment.optimizer)
    model = experiment.model.build(0)
    optimizer = nnx.Optimizer(model, experiment.optimizer, wrt=nnx.Param)

    @nnx.jit
    def walked(model, optimizer, batch):
        return jnp.zeros(())

    milliseconds = {
        "Step": _time(lambda: idle(on_device)),
        "Step, batch in host memory": _time(lambda: idle(batch)),
        "nnx.jit": _time(lambda: walked(model, optimizer, on_device)),
    }
    arrays = len(jax.tree.leaves(nnx.state(model)))
    result = {
        "question": "milliseconds of Python a training step",
        "milliseconds": milliseconds,
        "arrays": arrays,
        "target": {"Step": TARGET},
    }
    write("step", result)
    for name, value in milliseconds.items():
        print(f"{name}: {value['median']:.2f} ms")
    return int(milliseconds["Step"]["median"] > TARGET)


def _time(call: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(1e3 * (time.perf_counter() - start))
    times = times[10:]
    return {"median": round(statistics.median(times), 3), "min": round(min(times), 3), "max": round(max(times), 3)}


if __name__ == "__main__":
    sys.exit(main())
