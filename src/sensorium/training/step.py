"""One training step, compiled once for each shape of batch.

The model is split into a flat list of arrays before the loop and merged after it: walking the module graph in Python at
every step, as nnx.jit does, would cost more than the step of a small model (benchmarks/step.py).
"""

import time
from collections.abc import Mapping

import jax
import optax
from flax import nnx

from sensorium.core.batch import Batch
from sensorium.core.objective import Loss
from sensorium.losses import total
from sensorium.models import Space


class Step:
    """Owns the parameters while it trains: `step(batch)` updates them, `step.model()` gives the model as it stands.

    `traces` counts how often the step was traced: once a shape of batch, or something re-compiles behind your back.
    """

    def __init__(
        self,
        model: Space,
        losses: Mapping[str, tuple[float, Loss]],
        optimizer: optax.GradientTransformation,
    ):
        self._graph, state = nnx.split(model)
        self._leaves, self._tree = jax.tree.flatten(state)
        self._leaves = jax.tree.map(lambda x: x.copy(), self._leaves)  # the step donates them: the caller's stay whole
        with jax.numpy_dtype_promotion("standard"):  # optax mixes i32 counts with f32
            self._optimizer_state = optimizer.init(self._leaves)
        self._losses, self._optimizer = dict(losses), optimizer
        self._programs: dict[tuple, jax.stages.Compiled] = {}
        self.traces = 0

    def compile(self, batch: Batch) -> float:
        """Makes the program for batches of this one's shapes; the seconds it took (0 where it is there already)."""
        shapes = _shapes(batch)
        if shapes in self._programs:
            return 0.0
        start = time.perf_counter()
        update = jax.jit(self._update, donate_argnums=(0, 1))
        self._programs[shapes] = update.lower(self._leaves, self._optimizer_state, batch).compile()
        return time.perf_counter() - start

    def __call__(self, batch: Batch) -> dict[str, jax.Array]:
        """One update. Gives `"loss"`, `"loss/<name>"` and `"scale"`, still on the device: reading them waits for the step."""
        self.compile(batch)
        program = self._programs[_shapes(batch)]
        self._leaves, self._optimizer_state, out = program(self._leaves, self._optimizer_state, batch)
        return out

    def model(self) -> Space:
        """The model with a copy of the parameters of now."""
        return self._merge([leaf.copy() for leaf in self._leaves])

    def _merge(self, leaves: list[jax.Array]) -> Space:
        return nnx.merge(self._graph, jax.tree.unflatten(self._tree, leaves))

    def _loss(self, leaves: list[jax.Array], batch: dict[str, jax.Array]):
        outputs = self._merge(leaves)(batch)
        loss, parts = total(self._losses, outputs, batch)
        return loss, {"loss": loss, "scale": outputs["scale"]} | {f"loss/{name}": x for name, x in parts.items()}

    def _update(self, leaves: list[jax.Array], state: optax.OptState, batch: dict[str, jax.Array]):
        self.traces += 1
        (_, out), gradients = jax.value_and_grad(self._loss, has_aux=True)(leaves, batch)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = self._optimizer.update(gradients, state, leaves)
        model = self._merge(jax.tree.leaves(optax.apply_updates(leaves, updates)))
        model.settle()
        return jax.tree.leaves(nnx.state(model)), state, out


def _shapes(batch: Batch) -> tuple:
    return tuple((key, value.shape, value.dtype) for key, value in sorted(batch.items()))
