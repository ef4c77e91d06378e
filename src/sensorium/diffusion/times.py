"""Times: which ones a network is trained at, and which ones a sampler goes through."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Float, Key

from sensorium.core.table import Table
from sensorium.diffusion.schedules import Rectified, Schedule
from sensorium.nn.sizes import whole

CLEANEST, LOUDEST = 0.002, 80.0
"""Of a grid in noise levels: the least sigma/alpha before it ends at the data, and the first one where the schedule begins with
pure noise, which has none (Karras et al. 2022, table 1)."""


@runtime_checkable
class Draw(Protocol):
    """A frozen dataclass: a time for each of some rows, from a key."""

    def __call__(self, key: Key[jax.Array, ""], rows: int) -> Float[jax.Array, " B"]: ...


@dataclass(frozen=True)
class Uniform:
    """Every time alike, one in each of B equal parts of the way, in random order: batches differ less (Kingma et al. 2021)."""

    def __call__(self, key: Key[jax.Array, ""], rows: int) -> Float[jax.Array, " B"]:
        return _spread(key, rows)


@dataclass(frozen=True)
class LogitNormal:
    """t = sigmoid(normal(mean, spread)): the middle of the way, where most is to be learned, more often (Esser et al. 2024,
    eq. 19). One in each of B equally likely parts."""

    mean: float = 0.0
    spread: float = 1.0

    def __post_init__(self):
        if not 0 < self.spread < math.inf:
            raise ValueError(f"spread={self.spread}: expected more than 0")

    def __call__(self, key: Key[jax.Array, ""], rows: int) -> Float[jax.Array, " B"]:
        return jax.nn.sigmoid(self.mean + self.spread * ndtri(_spread(key, rows)))


def _spread(key: Key[jax.Array, ""], rows: int) -> Float[jax.Array, " B"]:
    where, order = jax.random.split(key)
    parts = jax.random.permutation(order, rows).astype(jnp.float32)
    return (parts + jax.random.uniform(where, (rows,))) / max(rows, 1)


DRAWS: Table[Callable[..., Draw]] = Table("way to draw times", {"uniform": Uniform, "logit_normal": LogitNormal})


def grid(
    steps: int, schedule: Schedule | None = None, spacing: str = "uniform", shift: float = 1.0
) -> Float[jax.Array, " steps_1"]:
    """The times of a sampler of so many steps: `steps` + 1 of them, from 1 down to 0.

    `spacing`: "uniform" in time, "log_snr" (Lu et al. 2022) or "karras" (Karras et al. 2022, eq. 5, rho = 7), the latter two in
    the noise levels of the schedule (`Rectified` if not given). `shift` over 1 spends more steps on the noisy end:
    t -> shift·t / (1 + (shift - 1)·t) (Esser et al. 2024, eq. 23).
    """
    steps = whole("steps", steps)
    if not 0 < shift < math.inf:
        raise ValueError(f"shift={shift}: expected more than 0 (1 leaves the times as they are)")
    t = SPACINGS[spacing](steps, schedule or Rectified())
    return shift * t / (1 + (shift - 1) * t)


def _uniform(steps: int, schedule: Schedule) -> Float[jax.Array, " steps_1"]:
    return jnp.linspace(1.0, 0.0, steps + 1)


def _levels(steps: int, schedule: Schedule, power: float) -> Float[jax.Array, " steps_1"]:
    """Equal steps in level^(1/power), or in log level for a power of 0, and a last one to the data."""
    loudest = jnp.exp(-0.5 * schedule.log_snr(jnp.ones(())))
    loudest = jnp.where(jnp.isfinite(loudest), loudest, LOUDEST)
    way = jnp.linspace(0.0, 1.0, steps) if steps > 1 else jnp.zeros(1)
    if power:
        root, last = loudest ** (1 / power), CLEANEST ** (1 / power)
        log_level = power * jnp.log(root + way * (last - root))
    else:
        log_level = jnp.log(loudest) + way * (math.log(CLEANEST) - jnp.log(loudest))
    inner = schedule.time(-2 * log_level)[1:]
    return jnp.concatenate([jnp.ones(1), inner, jnp.zeros(1)])


SPACINGS = Table(
    "spacing of times",
    {
        "uniform": _uniform,
        "log_snr": lambda steps, schedule: _levels(steps, schedule, 0.0),
        "karras": lambda steps, schedule: _levels(steps, schedule, 7.0),
    },
)
