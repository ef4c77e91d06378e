"""Contrast over several devices: should columns travel round a ring, or be gathered on every device? Seconds and memory of both.

Both compute loss and gradient of InfoNCE of N pairs of 512 numbers, sharded over 2 and 8 devices, by the same blocks
(`losses.walk`). The ring is the library's (`losses.sharded`). Gathered: every device holds all columns, combines what each column
remembers by one reduction, and sums the gradients of columns by a reduce-scatter (OpenCLIP's `--gather-with-grad` with
`--local-loss`, in blocks). MB is XLA's own plan of temporaries a device. The devices are fakes in one process: what their
traffic costs over a real link is not measured, only that both compute the same, what each holds, and the arithmetic's time.
Writes results/ring.json. Run: python benchmarks/ring.py (about three minutes)
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common.record import write
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sensorium.losses.forms import SoftmaxForm, SoftmaxSums
from sensorium.losses.sharded import ring, ring_back
from sensorium.losses.walk import Side, Tiles, Tilt, meet, meet_back

DEVICES, N, WIDTH, ROUNDS, AXIS = (2, 8), 8_192, 512, 3, "data"
FORM, TILES = SoftmaxForm(), Tiles()
SPLIT, SAME = PartitionSpec(AXIS), PartitionSpec()


def main() -> None:
    jax.config.update("jax_num_cpu_devices", max(DEVICES))
    found = {}
    for devices in DEVICES:
        mesh = Mesh(np.array(jax.devices()[:devices]), (AXIS,))
        with jax.set_mesh(mesh):
            sides = inputs(NamedSharding(mesh, SPLIT))
            programs = {
                "ring": jax.jit(partial(step, ring, ring_back)),
                "gathered": jax.jit(partial(step, gathered, gathered_back)),
            }
            compiled = {name: program.lower(*sides).compile() for name, program in programs.items()}
            values = {name: jax.device_get(program(*sides)) for name, program in compiled.items()}
            off = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(*values.values(), strict=True)]
            assert max(off) < 1e-5, off
            seconds = taken(compiled, sides)
            for name, program in compiled.items():
                plan = program.memory_analysis()
                assert plan is not None
                held = plan.temp_size_in_bytes / 2**20
                found[f"{name}, {devices} devices"] = {"seconds": seconds[name], "MB of temporaries a device": round(held, 1)}
                print(f"{name}, {devices} devices: {seconds[name]:.2f} s, {held:.1f} MB")
    write(
        "ring",
        {"question": f"loss and gradient of InfoNCE, N = {N}, d = {WIDTH}, columns that travel or are gathered", "found": found},
    )


def taken(programs: dict[str, Any], sides: tuple[Side, Side]) -> dict[str, float]:
    """The best of some turns, one of each after the other."""
    best = dict.fromkeys(programs, float("inf"))
    for _ in range(ROUNDS):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(*sides))
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: round(value, 3) for name, value in best.items()}


def inputs(sharding: NamedSharding) -> tuple[Side, Side]:
    draw, out = np.random.default_rng(0), []
    for _ in range(2):
        units = draw.standard_normal((N, WIDTH), np.float32)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        side = Side(jnp.asarray(units), jnp.arange(N)[:, None], jnp.ones(N, bool))
        out.append(jax.device_put(side, sharding))
    return out[0], out[1]


def step(forward: Callable, backward: Callable, rows: Side, columns: Side) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean loss of both directions, and its gradient wrt either side, as `losses.tiled` computes them."""
    tilt = Tilt(jnp.float32(20.0), jnp.float32(0.0))
    sums = forward(FORM, TILES, AXIS, tilt, rows, columns)
    values = [FORM.values(one, side.here)[0] for one, side in zip(sums, (rows, columns), strict=True)]
    even = jnp.full(N, 0.5 / N)
    of_rows, of_columns = (FORM.coefficients(one, side.here, even) for one, side in zip(sums, (rows, columns), strict=True))
    to_rows, to_columns, _ = backward(FORM, TILES, AXIS, tilt, rows, columns, (of_rows, of_columns))
    return 0.5 * (values[0].mean() + values[1].mean()), to_rows, to_columns


def gathered(form: SoftmaxForm, tiles: Tiles, axis: str, tilt: Tilt, rows: Side, columns: Side) -> tuple[Any, Any]:
    @partial(jax.shard_map, in_specs=(SAME, SPLIT, SPLIT), out_specs=SPLIT, check_vma=False)
    def on_each(tilt: Tilt, rows: Side, columns: Side):
        everybody = _all(columns)
        mine, theirs = meet(form, tiles, tilt, rows, everybody, (form.start(len(rows.here)), form.start(len(everybody.here))))
        peaks = jax.lax.pmax(theirs.peaks, axis)
        totals = theirs.totals * jnp.exp(theirs.peaks - peaks)
        plain = [_scattered(x) for x in (totals, theirs.right, theirs.every, theirs.positives, theirs.candidates)]
        own = jax.lax.dynamic_slice_in_dim(peaks, jax.lax.axis_index(axis) * len(columns.here), len(columns.here))
        return mine, SoftmaxSums(own, *plain)

    return on_each(tilt, rows, columns)


def gathered_back(
    form: SoftmaxForm, tiles: Tiles, axis: str, tilt: Tilt, rows: Side, columns: Side, coefficients: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array, Tilt]:
    @partial(jax.shard_map, in_specs=(SAME, SPLIT, SPLIT, SPLIT), out_specs=(SPLIT, SPLIT, SAME), check_vma=False)
    def on_each(tilt: Tilt, rows: Side, columns: Side, coefficients: tuple[Any, Any]):
        to_rows, to_columns, by = meet_back(form, tiles, tilt, rows, _all(columns), (coefficients[0], _all(coefficients[1])))
        return to_rows, _scattered(to_columns), jax.lax.psum(by, axis)

    return on_each(tilt, rows, columns, coefficients)


def _all(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS, tiled=True), tree)


def _scattered(x: jax.Array) -> jax.Array:
    return jax.lax.psum_scatter(x, AXIS, tiled=True)


if __name__ == "__main__":
    main()
