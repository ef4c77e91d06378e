"""Contrastive losses whose memory grows with N, not with N²: blocks of logits are made, used and dropped, twice over.

The values and gradients are those of the dense `infonce.softmax` and `sigmoid.sigmoid`: a running log-sum-exp forward, and each
block once more for the gradient (Dao et al. 2022, FlashAttention, §3, and, of a contrastive loss, Cheng et al. 2024, Inf-CL).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sensorium.core.objective import LossRows
from sensorium.losses.forms import Form, SigmoidForm, SoftmaxForm
from sensorium.losses.sharded import Axis, ring, ring_back
from sensorium.losses.walk import Side, Tiles, Tilt, meet, meet_back

Scalar = Float[jax.Array, ""]
TILES = Tiles()


def softmax(
    rows: Side,
    columns: Side,
    scale: Scalar,
    smoothing: float = 0.0,
    hardness: float = 0.0,
    axis: Axis | None = None,
    tiles: Tiles = TILES,
) -> tuple[LossRows, LossRows]:
    """InfoNCE of every row among the columns, and of every column among the rows, from logits scale · rows @ columnsᵀ.

    As `infonce.softmax` of the whole table. With `axis`, both sides are sharded over that axis of the mesh in use.
    """
    zero = jnp.zeros((), jnp.float32)
    return _contrast(SoftmaxForm(smoothing, hardness), tiles, axis, rows, columns, Tilt(scale.astype(jnp.float32), zero))


def sigmoid(
    rows: Side, columns: Side, scale: Scalar, bias: Scalar, axis: Axis | None = None, tiles: Tiles = TILES
) -> tuple[LossRows, LossRows]:
    """As `sigmoid.sigmoid` of the whole table scale · rows @ columnsᵀ + bias; `axis` as in `softmax`."""
    tilt = Tilt(scale.astype(jnp.float32), bias.astype(jnp.float32))
    return _contrast(SigmoidForm(), tiles, axis, rows, columns, tilt)


def _contrast(form: Form, tiles: Tiles, axis: Axis | None, rows: Side, columns: Side, tilt: Tilt) -> tuple[LossRows, LossRows]:
    found: tuple = _values(form, tiles, axis, rows, columns, tilt)
    return LossRows(*found[:2]), LossRows(*found[2:])


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _values(form: Form, tiles: Tiles, axis: Axis | None, rows: Side, columns: Side, tilt: Tilt) -> tuple:
    return _forward(form, tiles, axis, rows, columns, tilt)[0]


def _forward(form: Form, tiles: Tiles, axis: Axis | None, rows: Side, columns: Side, tilt: Tilt):
    if axis is None:
        start = form.start(len(rows.units)), form.start(len(columns.units))
        sums = meet(form, tiles, tilt, rows, columns, start)
    else:
        sums = ring(form, tiles, axis, tilt, rows, columns)
    return (*form.values(sums[0], rows.here), *form.values(sums[1], columns.here)), (rows, columns, tilt, sums)


def _backward(form: Form, tiles: Tiles, axis: Axis | None, kept: tuple, cotangents: tuple):
    rows, columns, tilt, sums = kept
    of_rows = form.coefficients(sums[0], rows.here, cotangents[0])
    of_columns = form.coefficients(sums[1], columns.here, cotangents[2])
    if axis is None:
        to_rows, to_columns, by = meet_back(form, tiles, tilt, rows, columns, (of_rows, of_columns))
    else:
        to_rows, to_columns, by = ring_back(form, tiles, axis, tilt, rows, columns, (of_rows, of_columns))
    ours = Side(to_rows.astype(rows.units.dtype), None, None)  # pyright: ignore[reportArgumentType]
    theirs = Side(to_columns.astype(columns.units.dtype), None, None)  # pyright: ignore[reportArgumentType]
    return ours, theirs, by


_values.defvjp(_forward, _backward)
