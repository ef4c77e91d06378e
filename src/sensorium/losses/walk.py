"""The walk over the blocks of an N×N table of logits that is never there as a whole: one block at a time, forward and back."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from sensorium.losses.forms import Form


class Side(NamedTuple):
    """One side of a contrast. Two rows are positives of each other where any of their keys is the same."""

    units: Float[jax.Array, "N D"]
    keys: Int[jax.Array, "N G"]
    here: Bool[jax.Array, " N"]


class Tiles(NamedTuple):
    """The most rows and columns of a block of logits; of five sizes this was the fastest at N = 4096 on two cores."""

    rows: int = 512
    columns: int = 1024


class Tilt(NamedTuple):
    """logit = scale · cosine + bias."""

    scale: Float[jax.Array, ""]
    bias: Float[jax.Array, ""]


def meet(form: Form, tiles: Tiles, tilt: Tilt, rows: Side, columns: Side, sums: tuple[Any, Any]) -> tuple[Any, Any]:
    """What the rows and the columns remember once they have met each other too, given `sums`: what they remember so far."""
    (q, k), (rows, columns) = (len(rows.units), len(columns.units)), _blocks(tiles, rows, columns)
    so_far = _cut(sums[0], rows), _cut(sums[1], columns)

    def one_row(columns_sums: Any, row: tuple[Side, Any]):
        def one_block(mine: Any, column: tuple[Side, Any]):
            logits, alike, both = _logits(tilt, row[0], column[0])
            return form.add(mine, logits, alike, both, 1), form.add(column[1], logits, alike, both, 0)

        mine, columns_sums = jax.lax.scan(one_block, row[1], (columns, columns_sums))
        return columns_sums, mine

    columns_sums, rows_sums = jax.lax.scan(one_row, so_far[1], (rows, so_far[0]))
    return whole(rows_sums, q), whole(columns_sums, k)


def meet_back(
    form: Form, tiles: Tiles, tilt: Tilt, rows: Side, columns: Side, coefficients: tuple[Any, Any]
) -> tuple[Float[jax.Array, "Q D"], Float[jax.Array, "K D"], Tilt]:
    """The gradient wrt the units of either side, the scale and the bias, from the form's coefficients of rows and columns."""
    (q, k), (rows, columns) = (len(rows.units), len(columns.units)), _blocks(tiles, rows, columns)
    of_rows, of_columns = _cut(coefficients[0], rows), _cut(coefficients[1], columns)
    numbers = jnp.arange(len(columns.here))

    def one_row(carry: tuple[jax.Array, Tilt], row: tuple[Side, Any]):
        def one_block(carry: tuple[jax.Array, jax.Array, jax.Array], column: tuple[Side, Any, jax.Array]):
            logits, alike, both = _logits(tilt, row[0], column[0])
            slope = form.slope(row[1], logits, alike, both, 1) + form.slope(column[1], logits, alike, both, 0)
            to_row, to_columns, bias = carry
            to_row = to_row + slope @ present(column[0])
            to_columns = to_columns.at[column[2]].add(slope.T @ scaled)
            return (to_row, to_columns, bias + jnp.sum(slope) if form.biased else bias), None

        mine = present(row[0])
        scaled = tilt.scale * mine
        (to_columns, by), start = carry, jnp.zeros_like(mine)
        (to_row, to_columns, bias), _ = jax.lax.scan(one_block, (start, to_columns, by.bias), (columns, of_columns, numbers))
        # Σ slope·cosine of this row of blocks is Σ unit · (Σ slope · other unit): no pass over the logits is needed for it.
        return (to_columns, Tilt(by.scale + jnp.sum(mine * to_row), bias)), tilt.scale * to_row

    nothing = jnp.zeros_like(columns.units, jnp.float32), Tilt(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))
    (to_columns, by), to_rows = jax.lax.scan(one_row, nothing, (rows, of_rows))
    return whole(to_rows, q), whole(to_columns, k), by


def _logits(tilt: Tilt, row: Side, column: Side) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One block of logits in float32, which of them are positives, and which are there at all."""
    logits = (tilt.scale * present(row)) @ present(column).T + tilt.bias
    alike = jnp.any(row.keys[:, None, :] == column.keys[None, :, :], axis=2)
    return logits, alike, row.here[:, None] & column.here[None, :]


def present(side: Side) -> Float[jax.Array, "N D"]:
    """The units, and 0 in the place of what is not there: whatever stands in it (NaN too) has no effect."""
    return jnp.where(side.here[:, None], side.units.astype(jnp.float32), 0.0)


def _blocks(tiles: Tiles, rows: Side, columns: Side) -> tuple[Side, Side]:
    """Both sides as blocks: `[blocks, rows of a block, …]`, the last one filled up with rows that are not there."""
    out = []
    for side, most in ((rows, tiles.rows), (columns, tiles.columns)):
        number = max(1, -(-len(side.here) // most))
        each = -(-len(side.here) // number)
        out.append(fold(side, number, each))
    return out[0], out[1]


def _cut(numbers: Any, like: Side) -> Any:
    """Numbers of rows in the blocks of a side."""
    return fold(numbers, *like.here.shape)


def fold(tree: Any, number: int, each: int) -> Any:
    """Arrays [N, …] as [number, each, …], with zeros (who is not there) after the last row."""

    def cut(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, [(0, number * each - len(x)), *[(0, 0)] * (x.ndim - 1)]) if number * each > len(x) else x
        return padded.reshape(number, each, *x.shape[1:])

    return jax.tree.map(cut, tree)


def whole(tree: Any, rows: int) -> Any:
    """The first `rows` rows of what was folded."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:rows], tree)
