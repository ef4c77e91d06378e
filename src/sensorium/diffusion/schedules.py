"""How much data and how much noise there is at a time: x_t = alpha(t)·x0 + sigma(t)·noise, t from 0 (data) to 1 (noise)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sensorium.core.table import Table
from sensorium.nn.sizes import whole


@runtime_checkable
class Schedule(Protocol):
    """A frozen dataclass. `alpha` falls from 1 to (about) 0 and `sigma` rises from 0 to (about) 1, of times of any shape."""

    def alpha(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]: ...

    def sigma(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]: ...

    def log_snr(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        """log(alpha² / sigma²), which falls with time: +inf at 0, and -inf at 1 where nothing is left of the data."""
        ...

    def time(self, log_snr: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        """The inverse of `log_snr`, between 0 and 1."""
        ...


@dataclass(frozen=True)
class Rectified:
    """A straight line from data to noise: alpha = 1 - t, sigma = t (Liu et al. 2022, Rectified Flow; Lipman et al. 2022)."""

    def alpha(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return 1.0 - t

    def sigma(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return t

    def log_snr(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return 2 * (jnp.log1p(-t) - jnp.log(t))

    def time(self, log_snr: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return jax.nn.sigmoid(-0.5 * log_snr)


class _Preserving(ABC):
    """Of schedules that preserve variance (alpha² + sigma² = 1): all follows from `lost(t)` = -log alpha², and its inverse."""

    @abstractmethod
    def lost(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]: ...

    @abstractmethod
    def when(self, lost: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]: ...

    def alpha(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return jnp.exp(-0.5 * self.lost(t))

    def sigma(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return jnp.sqrt(-jnp.expm1(-self.lost(t)))

    def log_snr(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        lost = self.lost(t)
        return -lost - jnp.log(-jnp.expm1(-lost))

    def time(self, log_snr: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return jnp.clip(self.when(jax.nn.softplus(-log_snr)), 0.0, 1.0)


@dataclass(frozen=True)
class Cosine(_Preserving):
    """alpha² = cos²(π/2·(t + offset)/(1 + offset)), over its value at 0 (Nichol & Dhariwal 2021, eq. 17)."""

    offset: float = 0.008

    def __post_init__(self):
        if not 0 <= self.offset < 1:
            raise ValueError(f"offset={self.offset}: expected 0 or more, less than 1")

    def _start(self) -> float:
        return math.cos(0.5 * math.pi * self.offset / (1 + self.offset))

    def lost(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        # As a sine of what is left of the way: a cosine next to a right angle has no digit of float32 left.
        share = jnp.sin(0.5 * math.pi * (1.0 - t) / (1 + self.offset)) / self._start()
        return -2 * jnp.log(jnp.clip(share, 0.0, 1.0))

    def when(self, lost: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        left = jnp.arcsin(self._start() * jnp.exp(-0.5 * lost)) * (2 * (1 + self.offset) / math.pi)
        return 1.0 - left


@dataclass(frozen=True)
class LinearBeta(_Preserving):
    """DDPM's linear schedule in continuous time: noise comes at a rate from `start` to `end` (Song et al. 2021, eq. 32)."""

    start: float = 0.1
    end: float = 20.0

    def __post_init__(self):
        if not 0 < self.start < self.end:
            raise ValueError(f"rates from {self.start} to {self.end}: expected the first over 0 and the second larger")

    def lost(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return t * (self.start + 0.5 * (self.end - self.start) * t)

    def when(self, lost: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        # The root of the quadratic in the form that loses no digits where little is lost.
        return 2 * lost / (self.start + jnp.sqrt(self.start**2 + 2 * (self.end - self.start) * lost))


@dataclass(frozen=True)
class Betas(_Preserving):
    """DDPM's table of `steps` discrete rates (Ho et al. 2020), exact at t = 1/steps, 2/steps, … 1; t = 0 is the data.

    `spacing`: "linear", or "scaled_linear" (linear in the root, as latent diffusion has it). Step k of a published model,
    counted from 0, is t = (k + 1)/steps. In between noise comes at the rate of the step.
    """

    steps: int = 1000
    start: float = 1e-4
    end: float = 0.02
    spacing: str = "linear"

    def __post_init__(self):
        whole("steps", self.steps, 2)
        if not 0 < self.start <= self.end < 1:
            raise ValueError(f"rates from {self.start} to {self.end}: expected 0 < start ≤ end < 1")
        _ = BETAS[self.spacing]

    def table(self) -> Float[np.ndarray, " steps_1"]:
        """-log alpha² after 0, 1, … steps."""
        betas = BETAS[self.spacing](self.start, self.end, self.steps)
        return np.concatenate([[0.0], -np.cumsum(np.log1p(-betas))])

    def lost(self, t: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return jnp.interp(t, *self._both()).astype(t.dtype)

    def when(self, lost: Float[jax.Array, "*B"]) -> Float[jax.Array, "*B"]:
        return jnp.interp(lost, *self._both()[::-1]).astype(lost.dtype)

    def _both(self) -> tuple[jax.Array, jax.Array]:
        times = np.arange(self.steps + 1) / self.steps
        return jnp.asarray(times, jnp.float32), jnp.asarray(self.table(), jnp.float32)


BETAS = Table(
    "spacing of betas",
    {
        "linear": np.linspace,
        "scaled_linear": lambda start, end, steps: np.linspace(start**0.5, end**0.5, steps) ** 2,
    },
)
SCHEDULES: Table[Callable[..., Schedule]] = Table(
    "schedule", {"rectified": Rectified, "cosine": Cosine, "linear_beta": LinearBeta, "betas": Betas}
)
