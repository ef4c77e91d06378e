"""One training step, compiled once for each shape of batch.

The model is split into a flat list of arrays before the loop and merged after it: walking the module graph in Python at
every step, as nnx.jit does, would cost more than the step of a small model (benchmarks/step.py).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import jax
import numpy as np
import optax
from flax import nnx

from sensorium.core.batch import Batch
from sensorium.core.objective import Loss
from sensorium.losses import total
from sensorium.models import Space

M = TypeVar("M", bound=nnx.Module)
Objective = Callable[[Any, dict[str, jax.Array], jax.Array], tuple[jax.Array, dict[str, jax.Array]]]
"""(model, batch, key) -> the loss, and numbers to tell beside it."""


def contrast(losses: Mapping[str, tuple[float, Loss]]) -> Objective:
    """The weighted sum of some losses of a space; beside it tells the scale and every `loss/<name>`."""

    def objective(model: Space, batch: dict[str, jax.Array], key: jax.Array):
        outputs = model(batch, key)
        loss, parts = total(losses, outputs, batch)
        return loss, {"scale": outputs["scale"]} | {f"loss/{name}": x for name, x in parts.items()}

    return objective


class Step(Generic[M]):
    """Owns the parameters while it trains: `step(batch)` updates them, `step.model()` gives the model as it stands.

    `settle` is called with the model after every update, inside the program (a `Space` holds its scale there). Every step has
    its own key, made of `seed` and the number of the step. `traces` counts how often the step was traced: once a shape of
    batch, or something re-compiles behind your back.
    """

    def __init__(
        self,
        model: M,
        objective: Objective,
        optimizer: optax.GradientTransformation,
        *,
        settle: Callable[[M], None] | None = None,
        seed: int = 0,
    ):
        self._graph, state = nnx.split(model)
        self._leaves, self._tree = jax.tree.flatten(state)
        self._leaves = jax.tree.map(lambda x: x.copy(), self._leaves)  # the step donates them: the caller's stay whole
        with jax.numpy_dtype_promotion("standard"):  # optax mixes i32 counts with f32
            self._optimizer_state = optimizer.init(self._leaves)
        self._objective, self._optimizer, self._settle = objective, optimizer, settle
        self._seed, self._count = seed, 0
        self._programs: dict[tuple, jax.stages.Compiled] = {}
        self.traces = 0

    def compile(self, batch: Batch) -> float:
        """Makes the program for batches of this one's shapes; the seconds it took (0 where it is there already)."""
        shapes = _shapes(batch)
        if shapes in self._programs:
            return 0.0
        start = time.perf_counter()
        update = jax.jit(self._update, donate_argnums=(0, 1))
        self._programs[shapes] = update.lower(self._leaves, self._optimizer_state, batch, np.uint32(0)).compile()
        return time.perf_counter() - start

    def __call__(self, batch: Batch) -> dict[str, jax.Array]:
        """One update. Gives `"loss"` and what the objective tells, still on the device: reading them waits for the step."""
        self.compile(batch)
        program = self._programs[_shapes(batch)]
        self._leaves, self._optimizer_state, out = program(self._leaves, self._optimizer_state, batch, np.uint32(self._count))
        self._count += 1
        return out

    def model(self) -> M:
        """The model with a copy of the parameters of now."""
        return self._merge([leaf.copy() for leaf in self._leaves])

    def _merge(self, leaves: list[jax.Array]) -> M:
        return nnx.merge(self._graph, jax.tree.unflatten(self._tree, leaves))

    def _loss(self, leaves: list[jax.Array], batch: dict[str, jax.Array], count: jax.Array):
        loss, told = self._objective(self._merge(leaves), batch, jax.random.fold_in(jax.random.key(self._seed), count))
        return loss, {"loss": loss} | told

    def _update(self, leaves: list[jax.Array], state: optax.OptState, batch: dict[str, jax.Array], count: jax.Array):
        self.traces += 1
        (_, out), gradients = jax.value_and_grad(self._loss, has_aux=True)(leaves, batch, count)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = self._optimizer.update(gradients, state, leaves)
        leaves = jax.tree.leaves(optax.apply_updates(leaves, updates))
        if self._settle:
            model = self._merge(leaves)
            self._settle(model)
            leaves = jax.tree.leaves(nnx.state(model))
        return leaves, state, out


def _shapes(batch: Batch) -> tuple:
    return tuple((key, value.shape, value.dtype) for key, value in sorted(batch.items()))
