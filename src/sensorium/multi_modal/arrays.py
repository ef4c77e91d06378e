"""What every call here asks of an array that it is given: that it is one, of the right kind, with values that can be."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Shaped

Array = Shaped[jax.Array, "..."] | Shaped[np.ndarray, "..."]


def arrayed(what: str, x: Any) -> jax.Array | np.ndarray:
    """`x` if it is an array; else a `ValueError`: what a list means (its type, its shape) is for the caller to say."""
    if not isinstance(x, jax.Array | np.ndarray):
        raise ValueError(f"{what}: expected an array, got a {type(x).__name__}; make one first, as np.asarray does")
    return x


def flags(what: str, mask: Any, shape: Sequence[int]) -> Bool[jax.Array, "..."]:
    """A mask of just this shape, or a `ValueError`."""
    mask = arrayed(what, mask)
    if mask.dtype != bool:
        raise ValueError(f"{what} is {mask.dtype}, where a bool is needed: compare, as in ids != 0")
    if mask.shape != tuple(shape):
        raise ValueError(f"{what} has the shape {mask.shape}: expected a flag for each, {tuple(shape)}")
    return jnp.asarray(mask)


def blanked(x: Array, real: Bool[jax.Array, "..."]) -> jax.Array:
    """Zeros where `real`, of the leading axes, is False: what stands there may be anything, NaN too, and counts nowhere."""
    x = jnp.asarray(x)
    return jnp.where(real.reshape(*real.shape, *(1,) * (x.ndim - real.ndim)), x, jnp.zeros((), x.dtype))


def check_ids(reader: str, ids: Array, vocab_size: int) -> None:
    """A `ValueError` for ids that are no integers, or that can be seen to be outside the vocabulary of their reader."""
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(f"token ids of type {ids.dtype}: expected integers, such as i32")
    low, high = map(int, extremes(ids, 0, 0))
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"token ids from {low} to {high}, where this {reader} has vocab_size={vocab_size} and reads 0 to {vocab_size - 1}: "
            f"build it with the size of the tokenizer's vocabulary, which is at least {max(high + 1, vocab_size)}"
        )


def check_range(what: str, x: Array, low: float, high: float, advice: str, room: float = 0.5) -> None:
    """A `ValueError` for values far outside their range, NaN among them, where they can be seen: a missing scaling."""
    least, most = extremes(x, low, high)
    if not (least >= low - room and most <= high + room):  # decoders overshoot; so written that NaN is told as well
        raise ValueError(f"{what} with values from {least:.3g} to {most:.3g}: expected [{low:g}, {high:g}]{advice}")


def extremes(x: Array, low: float, high: float) -> tuple[float, float]:
    """The least and the largest value; `low` and `high` where they cannot be seen (in a compiled function) or there are none."""
    if isinstance(x, Tracer) or not x.size:
        return low, high
    with jax.ensure_compile_time_eval():  # a constant inside a function that is being traced can be seen, too
        return float(x.min()), float(x.max())
