"""The one place where losses are weighted and averaged."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from sensorium.core.objective import Loss


def total(
    losses: Mapping[str, tuple[float, Loss]], outputs: dict[str, jax.Array], batch: dict[str, jax.Array]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted sum of each loss's mean over the rows that count (0 where none does), and every mean by name."""
    means = {}
    for name, (_, loss) in losses.items():
        values, counts = loss(outputs, batch)
        means[name] = jnp.sum(jnp.where(counts, values, 0.0)) / jnp.maximum(jnp.sum(counts, dtype=values.dtype), 1)
    return sum((weight * means[name] for name, (weight, _) in losses.items()), jnp.zeros(())), means
