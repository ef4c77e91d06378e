"""One training step, compiled once for each shape of batch.

The model is split into a flat list of arrays before the loop and merged after it: walking the module graph in Python at
every step, as nnx.jit does, would cost more than the step of a small model (benchmarks/step.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any, Generic, TypeVar

import jax
import numpy as np
import optax
from flax import nnx

from sensorium.core.batch import Batch
from sensorium.core.objective import Loss
from sensorium.losses import total
from sensorium.models import Space
from sensorium.training.parts import in_parts

M = TypeVar("M", bound=nnx.Module)
Objective = Callable[[Any, dict[str, jax.Array], jax.Array], tuple[jax.Array, dict[str, jax.Array]]]
"""(model, batch, key) -> the loss, and numbers to tell beside it."""


def contrast(losses: Mapping[str, tuple[float, Loss]], micro_batch: int | None = None) -> Objective:
    """The weighted sum of some losses of a space; beside it tells the scale and every `loss/<name>`.

    `micro_batch`: so many rows are encoded at a time, and only their activations are held; the value and the gradient are
    those of the whole batch (see `parts`).
    """

    def objective(model: Space, batch: dict[str, jax.Array], key: jax.Array):
        outputs = model(batch, key) if micro_batch is None else in_parts(model, batch, key, micro_batch)
        loss, parts = total(losses, outputs, batch)
        return loss, {"scale": outputs["scale"]} | {f"loss/{name}": x for name, x in parts.items()}

    return objective


class Step(Generic[M]):
    """Owns the parameters while it trains: `step(batch)` updates them, `step.model()` gives the model as it stands.

    Parameters whose dotted name matches a pattern of `frozen` ("encoders.image.*", as file names are matched) stay as they are,
    and cost no memory of the optimizer; to thaw some of them later, make another step of `step.model()`. What is no parameter
    (statistics of batch norms) is carried along as the model leaves it. `settle` is called with the model after every update,
    inside the program (a `Space` holds its scale there). Every step has its own key, made of `seed` and the number of the step.
    `traces` counts how often the step was traced: once a shape of batch, or something re-compiles behind your back.
    """

    def __init__(
        self,
        model: M,
        objective: Objective,
        optimizer: optax.GradientTransformation,
        *,
        settle: Callable[[M], None] | None = None,
        frozen: Sequence[str] = (),
        seed: int = 0,
    ):
        self._trains = _trained(model, frozen)
        self._graph, *states = nnx.split(model, self._trains, ...)
        # The step donates its arrays: the caller's stay whole.
        (self._leaves, self._tree), (self._rest, self._rest_tree) = (
            jax.tree.flatten(jax.tree.map(lambda x: x.copy(), s)) for s in states
        )
        with jax.numpy_dtype_promotion("standard"):  # optax mixes i32 counts with f32
            self._optimizer_state = optimizer.init(self._leaves)
        self._objective, self._optimizer, self._settle = objective, optimizer, settle
        self._seed, self._count = seed, 0
        self._programs: dict[tuple, jax.stages.Compiled] = {}
        self.traces = 0

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.size for leaf in self._leaves)

    def compile(self, batch: Batch | dict[str, jax.Array]) -> float:
        """Makes the program for batches of this one's shapes; the seconds it took (0 where it is there already)."""
        shapes = _shapes(batch)
        if shapes in self._programs:
            return 0.0
        start = time.perf_counter()
        update = jax.jit(self._update, donate_argnums=(0, 1, 2))
        given = (self._leaves, self._rest, self._optimizer_state, batch, np.uint32(0))
        self._programs[shapes] = update.lower(*given).compile()
        return time.perf_counter() - start

    def __call__(self, batch: Batch | dict[str, jax.Array]) -> dict[str, jax.Array]:
        """One update. Gives `"loss"` and what the objective tells, still on the device: reading them waits for the step."""
        self.compile(batch)
        program = self._programs[_shapes(batch)]
        given = (self._leaves, self._rest, self._optimizer_state, batch, np.uint32(self._count))
        self._leaves, self._rest, self._optimizer_state, out = program(*given)
        self._count += 1
        return out

    def model(self) -> M:
        """The model with a copy of the parameters of now."""
        return self._merge(*([leaf.copy() for leaf in leaves] for leaves in (self._leaves, self._rest)))

    def _merge(self, leaves: list[jax.Array], rest: list[jax.Array]) -> M:
        return nnx.merge(self._graph, jax.tree.unflatten(self._tree, leaves), jax.tree.unflatten(self._rest_tree, rest))

    def _split(self, model: M) -> list[list[jax.Array]]:
        return [jax.tree.leaves(state) for state in nnx.split(model, self._trains, ...)[1:]]

    def _loss(self, leaves: list[jax.Array], rest: list[jax.Array], batch: dict[str, jax.Array], count: jax.Array):
        model = self._merge(leaves, rest)
        loss, told = self._objective(model, batch, jax.random.fold_in(jax.random.key(self._seed), count))
        return loss, (self._split(model)[1], {"loss": loss} | told)

    def _update(self, leaves, rest, state: optax.OptState, batch: dict[str, jax.Array], count: jax.Array):
        self.traces += 1
        (_, (rest, out)), gradients = jax.value_and_grad(self._loss, has_aux=True)(leaves, rest, batch, count)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = self._optimizer.update(gradients, state, leaves)
        leaves = jax.tree.leaves(optax.apply_updates(leaves, updates))
        if self._settle:
            model = self._merge(leaves, rest)
            self._settle(model)
            leaves, rest = self._split(model)
        return leaves, rest, state, out


def _trained(model: nnx.Module, frozen: Sequence[str]) -> Callable[[tuple, Any], bool]:
    """The filter of what is trained; a `ValueError` for a pattern that no parameter has, or where nothing is left to train."""
    names = [".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]
    if idle := [pattern for pattern in frozen if not any(fnmatch(name, pattern) for name in names)]:
        raise ValueError(f"frozen={idle}: no parameter has such a name; there are {', '.join(names[:8])} …")
    if all(any(fnmatch(name, pattern) for pattern in frozen) for name in names):
        raise ValueError(f"frozen={list(frozen)}: nothing is left to train")

    def trains(path: tuple, value: Any) -> bool:
        return isinstance(value, nnx.Param) and not any(fnmatch(".".join(map(str, path)), pattern) for pattern in frozen)

    return trains


def _shapes(batch: Batch | dict[str, jax.Array]) -> tuple:
    return tuple((key, value.shape, value.dtype) for key, value in sorted(batch.items()))
