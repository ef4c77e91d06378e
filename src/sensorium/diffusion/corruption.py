"""Noise put into data, what a network may be asked to say of the result, and back from its word to the data."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sensorium.core.table import Table
from sensorium.diffusion.schedules import Schedule

TINY = 1e-6
"""A share of data or noise below which it cannot be read out of what holds it."""
Part = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def corrupt(
    schedule: Schedule, x: Float[jax.Array, " B *shape"], noise: Float[jax.Array, " B *shape"], t: Float[jax.Array, " B"]
) -> Float[jax.Array, " B *shape"]:
    """x_t = alpha(t)·x + sigma(t)·noise, each row at its own time."""
    alpha, sigma = at(schedule, t, x.ndim)
    return alpha * x + sigma * noise


@dataclass(frozen=True)
class Kind:
    """What a network says about x_t: `aim` is what it should say, `to_x0` and `to_noise` what follows from what it said.

    Where x_t holds nothing of what is sought (the noise at t = 0 of a network that says x0; the data at t = 1 of one that says
    noise), the answer is 0, the mean. The kinds "v" and "velocity" know both at every time.
    """

    name: str
    _aim: Part
    _x0: Part
    _noise: Part

    def aim(
        self,
        schedule: Schedule,
        x: Float[jax.Array, " B *shape"],
        noise: Float[jax.Array, " B *shape"],
        t: Float[jax.Array, " B"],
    ) -> Float[jax.Array, " B *shape"]:
        """What the network is to say of `corrupt(schedule, x, noise, t)`."""
        return self._aim(x, noise, *at(schedule, t, x.ndim))

    def to_x0(
        self,
        schedule: Schedule,
        said: Float[jax.Array, " B *shape"],
        x_t: Float[jax.Array, " B *shape"],
        t: Float[jax.Array, " B"],
    ) -> Float[jax.Array, " B *shape"]:
        """The data, by what the network said of x_t."""
        return self._x0(said, x_t, *at(schedule, t, x_t.ndim))

    def to_noise(
        self,
        schedule: Schedule,
        said: Float[jax.Array, " B *shape"],
        x_t: Float[jax.Array, " B *shape"],
        t: Float[jax.Array, " B"],
    ) -> Float[jax.Array, " B *shape"]:
        """The noise, by what the network said of x_t."""
        return self._noise(said, x_t, *at(schedule, t, x_t.ndim))


def at(schedule: Schedule, t: Float[jax.Array, " B"], rank: int) -> tuple[jax.Array, jax.Array]:
    """alpha and sigma of each row, with axes of 1 up to a rank."""
    shape = (len(t),) + (1,) * (rank - 1)
    return schedule.alpha(t).reshape(shape), schedule.sigma(t).reshape(shape)


def _over(x: jax.Array, share: jax.Array) -> jax.Array:
    """x / share, and 0 where the share is none."""
    return jnp.where(share > TINY, x / jnp.maximum(share, TINY), 0.0)


KINDS: Table[Kind] = Table(
    "kind of prediction",
    {
        kind.name: kind
        for kind in (
            Kind("x0", lambda x, e, a, s: x, lambda said, x, a, s: said, lambda said, x, a, s: _over(x - a * said, s)),
            Kind("eps", lambda x, e, a, s: e, lambda said, x, a, s: _over(x - s * said, a), lambda said, x, a, s: said),
            # Salimans & Ho 2022, appendix D: v = alpha·noise - sigma·x0; over alpha² + sigma² where that is not 1.
            Kind(
                "v",
                lambda x, e, a, s: a * e - s * x,
                lambda said, x, a, s: (a * x - s * said) / (a * a + s * s),
                lambda said, x, a, s: (s * x + a * said) / (a * a + s * s),
            ),
            # Lipman et al. 2022, eq. 22: noise - x0, the velocity of the straight line of x_t / (alpha + sigma).
            Kind(
                "velocity",
                lambda x, e, a, s: e - x,
                lambda said, x, a, s: (x - s * said) / (a + s),
                lambda said, x, a, s: (x + a * said) / (a + s),
            ),
        )
    },
)
"""x0: the data · eps: the noise (Ho et al. 2020) · v (Salimans & Ho 2022) · velocity (Liu et al. 2022; Lipman et al. 2022)."""
