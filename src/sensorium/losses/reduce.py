"""The one place where losses are weighted and averaged."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from sensorium.core.objective import Loss, LossRows

Weight = float | Callable[..., jax.Array | float]
"""How much a loss counts: a number, or a schedule, a function of the step (any of `optax.schedules`)."""


def total(
    losses: Mapping[str, tuple[Weight, Loss]],
    outputs: dict[str, jax.Array],
    batch: dict[str, jax.Array],
    step: Int[jax.Array, ""] | int | None = None,
) -> tuple[Float[jax.Array, ""], dict[str, jax.Array]]:
    """The weighted sum of each loss's mean over the rows that count (0 where none does), and every mean by name, unweighted.

    `step` is the number of the update, from 0, which schedules are asked about; without one, a schedule is a `ValueError`.
    """
    means = {name: mean(loss(outputs, batch)) for name, (_, loss) in losses.items()}
    parts = (weight_at(weight, step, name) * means[name] for name, (weight, _) in losses.items())
    return sum(parts, jnp.zeros(())), means


def weight_at(weight: Weight, step: Int[jax.Array, ""] | int | None, name: str = "") -> Float[jax.Array, ""]:
    """The weight at a step; `name` is that of its loss, for the error where a schedule is asked without a step."""
    if not callable(weight):
        return jnp.float32(weight)
    if step is None:
        raise ValueError(f"the weight of the loss {name!r} is a schedule: total(…, step=) has to say which step this is")
    with jax.numpy_dtype_promotion("standard"):  # schedules mix i32 counts with f32
        return jnp.asarray(weight(step), jnp.float32)


def mean(rows: LossRows, weights: Float[jax.Array, " B"] | None = None) -> Float[jax.Array, ""]:
    """The mean over the rows that count, or Σ w·value / Σ w with a weight (≥ 0) a row; 0 where nothing counts or weighs."""
    values, counts = rows
    share = counts.astype(values.dtype) if weights is None else jnp.where(counts, weights, 0.0)
    whole = jnp.sum(share)
    return jnp.sum(jnp.where(counts, values, 0.0) * share) / jnp.where(whole > 0, whole, 1.0)
