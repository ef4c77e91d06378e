"""The one place where losses are weighted and averaged."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sensorium.core.objective import Loss, LossRows


def total(
    losses: Mapping[str, tuple[float, Loss]], outputs: dict[str, jax.Array], batch: dict[str, jax.Array]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted sum of each loss's mean over the rows that count (0 where none does), and every mean by name."""
    means = {name: mean(loss(outputs, batch)) for name, (_, loss) in losses.items()}
    return sum((weight * means[name] for name, (weight, _) in losses.items()), jnp.zeros(())), means


def mean(rows: LossRows, weights: Float[jax.Array, " B"] | None = None) -> Float[jax.Array, ""]:
    """The mean over the rows that count, or Σ w·value / Σ w with a weight (≥ 0) a row; 0 where nothing counts or weighs."""
    values, counts = rows
    share = counts.astype(values.dtype) if weights is None else jnp.where(counts, weights, 0.0)
    whole = jnp.sum(share)
    return jnp.sum(jnp.where(counts, values, 0.0) * share) / jnp.where(whole > 0, whole, 1.0)
