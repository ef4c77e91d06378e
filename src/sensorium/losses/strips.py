"""A table of N×N numbers one strip of rows at a time, for losses that need a whole row of it at once: memory grows with N."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Float

from sensorium.losses.walk import fold, whole

MOST = 512
"""Rows of a strip."""


def by_strips(
    values: Callable[[Any], Float[jax.Array, " S"]], rows: Any, tiled: bool, most: int = MOST
) -> Float[jax.Array, " N"]:
    """`values(rows)`, at most `most` rows at a time where `tiled`; in the backward pass each strip is computed once more.

    `rows` is a pytree of arrays with the rows on their first axis. What `values` closes over (the columns) is held once.
    """
    number = len(jax.tree.leaves(rows)[0])
    if not tiled or number <= most:
        return values(rows)
    strips = -(-number // most)
    return whole(jax.lax.map(jax.checkpoint(values), fold(rows, strips, -(-number // strips))), number)
