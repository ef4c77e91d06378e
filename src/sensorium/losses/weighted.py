"""Rows that count for more: alignment scores, trust in a label."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sensorium.core.batch import here
from sensorium.core.objective import Loss, LossRows


@dataclass(frozen=True)
class Weighted:
    """Any loss with a weight a row, `batch[by]` f32[B] ≥ 0: its mean is Σ w·value / Σ w over the rows that count.

    A row's value is w · value over the mean weight of the rows that count, so the level of the weights does not matter. A row of
    weight 0 (or that lacks one, by `"<by>/here"`) does not count and has exactly no gradient; in a contrast the others still
    meet it as a candidate, as they would be wrong to take it for their own. A negative weight gives NaN.
    """

    loss: Loss
    by: str = "alignment"

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        if self.by not in batch:
            raise ValueError(f"the batch holds no weights {self.by!r}, f32[B]; it holds {sorted(batch)}")
        weights = jnp.asarray(batch[self.by], jnp.float32)
        weights = jnp.where(jnp.asarray(here(batch, self.by)), weights, 0.0)
        weights = jnp.where(weights >= 0, weights, jnp.nan)
        values, counts = self.loss({name: _held(x, weights == 0) for name, x in outputs.items()}, batch)
        counts = counts & (weights != 0)
        shares = jnp.where(counts, weights, 0.0)
        whole = jnp.sum(shares)
        level = jnp.sum(counts, dtype=jnp.float32) / jnp.where(whole == 0, 1.0, whole)
        return LossRows(jnp.where(counts, values, 0.0) * shares * level, counts)


def _held(x: jax.Array, rows: jax.Array) -> jax.Array:
    """An output without a gradient in some rows; a scalar belongs to no row."""
    if x.ndim == 0:
        return x
    return jnp.where(rows.reshape(-1, *[1] * (x.ndim - 1)), jax.lax.stop_gradient(x), x)
