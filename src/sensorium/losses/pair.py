"""Two fields of a batch, ready to be contrasted: which rows are positives of which, and which are there."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from sensorium.core.batch import here
from sensorium.losses.sharded import Axis, numbers
from sensorium.losses.walk import Side, Tilt

MOST_DENSE = 1024
"""Rows above which the tiled form is taken: at N = 1,024 the dense one is 1.2× faster, at 2,048 it is 1.3× slower and takes 6×
the memory (d = 512, loss and gradient, two cores)."""


def positives(batch: dict[str, jax.Array], *fields: str) -> Bool[jax.Array, "B B"]:
    """Which rows are of one item, or hold equal content in one of the fields."""
    rows = len(next(iter(batch.values())))
    alike = jnp.eye(rows, dtype=bool)
    for key in _named(batch, fields):
        alike |= batch[key][:, None] == batch[key][None, :]
    return alike


def keys(batch: dict[str, jax.Array], *fields: str, axis: Axis | None = None) -> Int[jax.Array, "B G"]:
    """The same without a table: two rows are positives of each other where any of their keys is the same.

    `axis` is the axis of the mesh in use over which the rows of the batch are sharded.
    """
    rows = len(next(iter(batch.values())))
    found = [jnp.asarray(batch[key]).astype(jnp.int32) for key in _named(batch, fields)]
    number = jnp.arange(rows, dtype=jnp.int32) if axis is None else numbers(axis, rows)
    return jnp.stack([number, *found], axis=1)


def sides(
    outputs: dict[str, jax.Array], batch: dict[str, jax.Array], a: str, b: str, axis: Axis | None = None
) -> tuple[Side, Side]:
    """The unit vectors of the two fields with their keys; a row that lacks one of them is not there on either side."""
    named, counts = keys(batch, a, b, axis=axis), jnp.asarray(here(batch, a, b))
    return Side(outputs[f"{a}/unit"], named, counts), Side(outputs[f"{b}/unit"], named, counts)


def tilt(outputs: dict[str, jax.Array], a: str, b: str, bias: float = 0.0) -> Tilt:
    """What the cosines of this pair are multiplied by, and what is then added: the pair's own where the model has learned it
    ("scale/<a>-<b>", "bias/<a>-<b>", in either order of the fields), else what all pairs share ("scale", "bias").

    Without any bias of the model it is `bias`.
    """
    scale, offset = (
        next((outputs[name] for name in (f"{what}/{a}-{b}", f"{what}/{b}-{a}", what) if name in outputs), None)
        for what in ("scale", "bias")
    )
    if scale is None:
        raise ValueError(f'no "scale/{a}-{b}" and no "scale" among the outputs {sorted(outputs)}: a contrast has to have one')
    return Tilt(scale.astype(jnp.float32), jnp.float32(bias) if offset is None else offset.astype(jnp.float32))


def by_tiles(tiled: bool | None, axis: Axis | None, rows: int) -> bool:
    """Whether a loss goes block by block: as it was told, or else above `MOST_DENSE` rows; over a mesh it always does."""
    return axis is not None or (rows > MOST_DENSE if tiled is None else tiled)


def check(tiled: bool | None, axis: Axis | None) -> None:
    """A `ValueError` for the dense form over a mesh, which there is not."""
    if axis is not None and tiled is False:
        raise ValueError(
            f"tiled=False with axis={axis!r}: over a mesh the logits are always made block by block; leave tiled out"
        )


def _named(batch: dict[str, jax.Array], fields: tuple[str, ...]) -> list[str]:
    return [key for key in ("group", *(f"{field}/id" for field in fields)) if key in batch]
