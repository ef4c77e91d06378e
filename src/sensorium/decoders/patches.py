"""Grids of one, two or three axes as patches in a row, and back."""

import math

import jax
from jaxtyping import Float


def cells(shape: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """How many patches there are along each axis; a `ValueError` where they do not fill the grid."""
    if len(shape) != len(patch) or not 1 <= len(shape) <= 3 or min(*shape, *patch) < 1:
        raise ValueError(f"grids of {shape} in patches of {patch}: expected as many numbers in both, 1 to 3, all 1 or more")
    if any(n % p for n, p in zip(shape, patch, strict=True)):
        raise ValueError(f"grids of {shape} in patches of {patch}: expected each side to be a multiple of its patch")
    return tuple(n // p for n, p in zip(shape, patch, strict=True))


def cut(x: Float[jax.Array, "B *shape C"], patch: tuple[int, ...]) -> Float[jax.Array, "B L D"]:
    """The patches of a grid in the order of their places, each laid flat."""
    n = len(patch)
    sides = cells(x.shape[1:-1], patch)
    pairs = (part for pair in zip(sides, patch, strict=True) for part in pair)
    x = x.reshape(len(x), *pairs, x.shape[-1])
    x = x.transpose(0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1)
    return x.reshape(len(x), math.prod(sides), -1)


def joined(x: Float[jax.Array, "B L D"], sides: tuple[int, ...], patch: tuple[int, ...]) -> Float[jax.Array, "B *shape C"]:
    """The grid that patches make: undoes `cut`."""
    n = len(patch)
    x = x.reshape(len(x), *sides, *patch, -1)
    x = x.transpose(0, *(axis for i in range(n) for axis in (1 + i, 1 + n + i)), 2 * n + 1)
    return x.reshape(len(x), *(s * p for s, p in zip(sides, patch, strict=True)), -1)
