"""Contrast over several devices: each keeps its rows, and the columns go round a ring of them, block after block.

Every device needs the logits of its rows against all columns. It could gather all columns (N·D numbers on every device,
and again as many for their gradients), or see them one shard at a time. The traffic is the same, N·D numbers a device forward
and 2·N·D back; the ring holds only two shards at a time, needs no sum over devices at the end, as what a column remembers travels
with it and comes home complete, and each hop can go on while the block before it is computed. On 8 fake devices it took a third
of the memory of gathering, and about as long (benchmarks/ring.py).
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Float, Int

from sensorium.losses.forms import Form
from sensorium.losses.walk import Side, Tiles, Tilt, meet, meet_back

Axis = str | tuple[str, ...]
"""An axis of a mesh, or several that rows are sharded over together, as in `PartitionSpec(("data", "fsdp"))`."""


def ring(form: Form, tiles: Tiles, axis: Axis, tilt: Tilt, rows: Side, columns: Side) -> tuple[Any, Any]:
    """What all rows and columns remember when each has met each; both sides are sharded over the mesh axis `axis`."""
    devices = _devices(axis, len(rows.units), len(columns.units))
    split = PartitionSpec(axis)

    @partial(jax.shard_map, in_specs=(PartitionSpec(), split, split), out_specs=split, axis_names=_named(axis), check_vma=False)
    def on_each(tilt: Tilt, rows: Side, columns: Side):
        def hop(carry: tuple[Any, Side, Any], _: None):
            mine, guests, theirs = carry
            mine, theirs = meet(form, tiles, tilt, rows, guests, (mine, theirs))
            return (mine, *_on(axis, devices, (guests, theirs))), None

        start = form.start(len(rows.units)), columns, form.start(len(columns.units))
        (mine, _, theirs), _ = jax.lax.scan(hop, start, length=devices)
        return mine, theirs

    return on_each(tilt, rows, columns)


def ring_back(
    form: Form, tiles: Tiles, axis: Axis, tilt: Tilt, rows: Side, columns: Side, coefficients: tuple[Any, Any]
) -> tuple[Float[jax.Array, "Q D"], Float[jax.Array, "K D"], Tilt]:
    """`walk.meet_back` over the same ring: the gradients of the columns travel with them."""
    devices = _devices(axis, len(rows.units), len(columns.units))
    split, same = PartitionSpec(axis), PartitionSpec()
    ins, outs = (same, split, split, split), (split, split, same)

    @partial(jax.shard_map, in_specs=ins, out_specs=outs, axis_names=_named(axis), check_vma=False)
    def on_each(tilt: Tilt, rows: Side, columns: Side, coefficients: tuple[Any, Any]):
        def hop(carry: tuple[Any, Any, jax.Array, jax.Array, Tilt], _: None):
            guests, of_guests, to_guests, to_rows, by = carry
            more, theirs, tilts = meet_back(form, tiles, tilt, rows, guests, (coefficients[0], of_guests))
            travel = _on(axis, devices, (guests, of_guests, to_guests + theirs))
            return (*travel, to_rows + more, jax.tree.map(jnp.add, by, tilts)), None

        zero = jnp.zeros((), jnp.float32)
        nothing = [jnp.zeros_like(side.units, jnp.float32) for side in (columns, rows)]
        start = (columns, coefficients[1], *nothing, Tilt(zero, zero))
        (_, _, to_columns, to_rows, by), _ = jax.lax.scan(hop, start, length=devices)
        return to_rows, to_columns, jax.lax.psum(by, axis)

    return on_each(tilt, rows, columns, coefficients)


def numbers(axis: Axis, rows: int) -> Int[jax.Array, " N"]:
    """0 … rows − 1, sharded over the axis."""
    each = rows // _devices(axis, rows)

    @partial(jax.shard_map, in_specs=(), out_specs=PartitionSpec(axis), axis_names=_named(axis), check_vma=False)
    def on_each():
        return jax.lax.axis_index(axis).astype(jnp.int32) * each + jnp.arange(each, dtype=jnp.int32)

    return on_each()


def _on(axis: Axis, devices: int, travelling: Any) -> Any:
    """Everybody's guests go on to the next device."""
    return jax.lax.ppermute(travelling, axis, [(i, (i + 1) % devices) for i in range(devices)])


def _named(axis: Axis) -> set[str]:
    return {axis} if isinstance(axis, str) else set(axis)


def _devices(axis: Axis, *rows: int) -> int:
    """The number of devices along the axis; a `ValueError` where there is no such axis, or rows do not divide by it."""
    mesh = jax.sharding.get_abstract_mesh()
    if not _named(axis) <= set(mesh.axis_names):
        known = ", ".join(mesh.axis_names) or "none"
        raise ValueError(f"axis={axis!r} is no axis of the mesh in use; its axes: {known}. Enter one: with jax.set_mesh(mesh)")
    devices = math.prod(mesh.shape[name] for name in _named(axis))
    if odd := [number for number in rows if number % devices]:
        raise ValueError(f"{odd[0]} rows do not divide by the {devices} devices of axis {axis!r}: choose another batch size")
    return devices
