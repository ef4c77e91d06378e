"""Sizes: those that a layer is built with, and arrays laid flat, also where there are no rows."""

import math
import operator

import jax
from jaxtyping import Float


def whole(name: str, number: object, least: int = 1) -> int:
    """`number` as an int; a `ValueError` that names it where it is no whole number of `least` or more."""
    try:
        value = operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        value = least - 1
    if value < least:
        raise ValueError(f"{name}={number!r}: expected a whole number of {least} or more")
    return value


MOST_SEED = 2**32 - 1


def seed_of(number: object) -> int:
    """A seed as an int; a `ValueError` where it is none that JAX takes."""
    if (seed := whole("seed", number, 0)) > MOST_SEED:
        raise ValueError(f"seed={seed}: expected a whole number from 0 to {MOST_SEED}")
    return seed


def check_heads(width: int, heads: int) -> None:
    """A `ValueError` where a width cannot be split into so many heads."""
    if whole("width", width) % whole("heads", heads):
        raise ValueError(f"width {width} cannot be split into {heads} heads: take a number of heads that divides it")


def flat(x: Float[jax.Array, "B ..."]) -> Float[jax.Array, "B P"]:
    """Each row as one vector. No row at all is fine, which `reshape(0, -1)` is not: there is nothing to divide."""
    return x.reshape(len(x), math.prod(x.shape[1:]))
