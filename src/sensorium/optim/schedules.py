"""How the learning rate goes over a run: a linear warm-up, then one of four ways on."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from sensorium.core.table import Table

Schedule = Callable[[jax.Array | int], jax.Array]
"""How many updates there were before -> the rate of the next one."""
Shape = Callable[[jax.Array, int, int], jax.Array]
"""(t, warmup, steps) -> the share of the highest rate at update t, which counts from 1, once the warm-up is over."""
FLOOR = 0.01
"""Where the cosine and the line end, as a share of the highest rate: the last update still moves."""


def rates(lr: float, steps: int, warmup: int | None = None, schedule: str = "cosine") -> Schedule:
    """The rate of each update of a run of `steps`: it rises in equal parts to `lr` over the first `warmup` updates.

    Update t of the warm-up, counted from 1, has lr·t/warmup, so that the first one moves too (optax's own warm-ups start at a
    rate of 0, and the first batch is lost). `warmup` is a tenth of the run if not given, at most 100.
    """
    if steps < 1 or lr < 0 or not math.isfinite(lr) or (warmup is not None and warmup < 0):
        raise ValueError(
            f"lr={lr}, steps={steps}, warmup={warmup}: expected a rate of 0 or more, a step or more, no negative warm-up"
        )
    rising = max(min(steps // 10, 100) if warmup is None else warmup, 1)
    shape = SCHEDULES[schedule]

    def rate(count: jax.Array | int) -> jax.Array:
        t = jnp.asarray(count, jnp.float32) + 1.0
        return lr * jnp.where(t <= rising, t / rising, shape(t, rising, max(steps, rising + 1)))

    return rate


def _gone(t: jax.Array, warmup: int, steps: int) -> jax.Array:
    return jnp.clip((t - warmup) / (steps - warmup), 0.0, 1.0)


def cosine(t: jax.Array, warmup: int, steps: int) -> jax.Array:
    """Half a wave down to `FLOOR` at the last step (Loshchilov & Hutter 2017, SGDR, eq. 5, without restarts)."""
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + jnp.cos(math.pi * _gone(t, warmup, steps)))


def linear(t: jax.Array, warmup: int, steps: int) -> jax.Array:
    """A straight line down to `FLOOR` at the last step."""
    return 1 - (1 - FLOOR) * _gone(t, warmup, steps)


def constant(t: jax.Array, warmup: int, steps: int) -> jax.Array:
    """The highest rate to the end."""
    return jnp.ones_like(t)


def rsqrt(t: jax.Array, warmup: int, steps: int) -> jax.Array:
    """√(warmup/t) (Vaswani et al. 2017, section 5.3): it does not ask how long the run will be, which can be lengthened."""
    return jnp.sqrt(warmup / jnp.maximum(t, warmup))


SCHEDULES: Table[Shape] = Table("schedule", {"cosine": cosine, "linear": linear, "constant": constant, "rsqrt": rsqrt})
