"""Grids of learned vectors resampled to shapes that are known only as the program runs."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

HIGHEST = jax.lax.Precision.HIGHEST


def linear_places(grid: Float[jax.Array, "h w D"], shape: Int[jax.Array, "B 2"], length: int) -> Float[jax.Array, "B L D"]:
    """The vectors of the cells of a grid of `shape` (rows, columns), row by row, up to `length` of them; what is behind them
    means nothing. As PyTorch's bilinear `interpolate` with `antialias=True`: centres are aligned, and what shrinks is blurred."""
    rows, columns = (jnp.maximum(shape[:, i], 1)[:, None] for i in (0, 1))
    place = jnp.arange(length, dtype=jnp.int32)[None]
    down = _weights(place // columns, rows, grid.shape[0])
    across = _weights(place % columns, columns, grid.shape[1])
    both = (down[:, :, :, None] * across[:, :, None, :]).reshape(*down.shape[:2], -1)
    return jnp.matmul(both, grid.astype(jnp.float32).reshape(-1, grid.shape[2]), precision=HIGHEST)


def _weights(at: Int[jax.Array, "B L"], new: Int[jax.Array, "B 1"], old: int) -> Float[jax.Array, "B L old"]:
    """How much of each of the `old` cells is in cell `at` of `new` ones: a triangle about its centre, one new cell wide to each
    side, and at least one old cell."""
    step = (old / new.astype(jnp.float32))[:, :, None]
    centre = step * (at[:, :, None].astype(jnp.float32) + 0.5)
    far = jnp.abs(jnp.arange(old, dtype=jnp.float32)[None, None] + 0.5 - centre) / jnp.maximum(step, 1.0)
    weights = jnp.maximum(1.0 - far, 0.0)
    return weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), 1e-9)
