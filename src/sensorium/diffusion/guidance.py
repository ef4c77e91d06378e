"""Classifier-free guidance: away from what a network says without a condition, further than to what it says with it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sensorium.diffusion.samplers import Denoise

About = Any
"""What is generated about: an `Encoding`, or any arrays whose first axis is the rows."""


def guided(
    denoise: Callable[[jax.Array, jax.Array, About], jax.Array],
    about: About,
    nothing: About,
    scale: float | Float[jax.Array, ""] | Float[jax.Array, " B"] = 1.0,
    *,
    interval: Sequence[float] = (0.0, 1.0),
    rescale: float = 0.0,
    doubled: bool = True,
) -> Denoise:
    """`denoise(x_t, t, about)`, guided: nothing + scale·(about - nothing) (Ho & Salimans 2022, eq. 6), for `sample`.

    x0 and the noise are each a linear function of the other, so for both it is the same. `scale` may be one for each row; 1 is
    `denoise` itself, at the cost of it alone. `interval`: the times at which to guide (Kynkäänniemi et al. 2024).
    `rescale`: how far, from 0 to 1, each row's deviation is brought back to that without guidance (Lin et al. 2023, eq. 15 and
    16). A scale under 1 holds at all times and rescales nothing. `doubled`: both are asked for in one batch of twice as many
    rows, or else one after the other, with less memory.
    """
    check_guidance(scale if isinstance(scale, int | float) else 1.0, interval, rescale)
    if isinstance(scale, int | float) and scale == 1:
        return lambda x, t: denoise(x, t, about)

    def call(x: jax.Array, t: jax.Array) -> jax.Array:
        if doubled:
            both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), about, nothing)
            told, untold = jnp.split(denoise(jnp.concatenate([x, x]), jnp.concatenate([t, t]), both), 2)
        else:
            told, untold = denoise(x, t, about), denoise(x, t, nothing)
        scales = jnp.broadcast_to(jnp.asarray(scale, jnp.float32), t.shape)
        inside = (interval[0] <= t) & (t <= interval[1])
        by = jnp.where(inside | (scales < 1), scales, 1.0).reshape((len(x),) + (1,) * (x.ndim - 1))
        out = untold + by * (told - untold)
        return jnp.where(by > 1, _rescaled(out, told, rescale), out) if rescale else out

    return call


def check_guidance(scale: float, interval: Sequence[float], rescale: float) -> None:
    """A `ValueError` where one of these arguments of `guided` is none."""
    if not 0 <= scale < float("inf"):
        raise ValueError(f"guidance={scale}: expected 0 (as if nothing were told), 1 (no guidance) or more")
    if len(interval) != 2 or not 0 <= interval[0] < interval[1] <= 1:
        raise ValueError(f"interval={interval}: expected two times from 0 to 1, the smaller one first")
    if not 0 <= rescale <= 1:
        raise ValueError(f"rescale={rescale}: expected a share from 0 to 1")


def _rescaled(x: jax.Array, like: jax.Array, share: float) -> jax.Array:
    axes = tuple(range(1, x.ndim))
    back = x * (jnp.std(like, axes, keepdims=True) / jnp.maximum(jnp.std(x, axes, keepdims=True), 1e-6))
    return share * back + (1 - share) * x
