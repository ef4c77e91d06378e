"""What a model is trained on: the weighted sum of its losses, and what is told beside it."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from sensorium.core.objective import Loss
from sensorium.losses import Weight, total
from sensorium.models import Model
from sensorium.monitor.watch import of_outputs
from sensorium.training.parts import in_parts
from sensorium.training.step import Objective


def contrast(losses: Mapping[str, tuple[Weight, Loss]], micro_batch: int | None = None, *, watch: bool = False) -> Objective:
    """The weighted sum of some losses of a model; beside it tells the scales and biases and every `loss/<name>`.

    `micro_batch`: so many rows are encoded at a time, and only their activations are held; the value and the gradient are
    those of the whole batch (see `parts`). With `watch` it also tells what the training doctor asks for (see `watch`), and
    `bad_rows/<field>` bool[B]: the rows that are there and whose vector is not finite.
    """

    def objective(model: Model, batch: dict[str, jax.Array], key: jax.Array, updates: jax.Array):
        outputs = model(batch, key) if micro_batch is None else in_parts(model, batch, key, micro_batch)
        loss, parts = total(losses, outputs, batch, updates)
        told = {name: x for name, x in outputs.items() if x.ndim == 0} | {f"loss/{name}": x for name, x in parts.items()}
        if watch:
            told |= of_outputs(jax.lax.stop_gradient(outputs), batch) | _broken(outputs, batch)
        return loss, told

    return objective


def _broken(outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    fields = [name.removesuffix("/unit") for name in outputs if name.endswith("/unit")]
    return {
        f"bad_rows/{field}": batch.get(f"{field}/here", True) & ~jnp.all(jnp.isfinite(outputs[f"{field}/unit"]), axis=1)
        for field in fields
    }
