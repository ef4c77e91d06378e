"""Contrast over 1, 2, 4 and 8 devices: the values and gradients of one, and no device that holds another's rows for good."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import InfoNCE, Matryoshka, Sigmoid, Triplet, Weighted, on_mesh

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sensorium.losses import InfoNCE, Sigmoid

assert len(jax.devices()) == 8
random = np.random.default_rng(0)
outputs = {"scale": np.float32(2), **{f"{name}/unit": random.normal(size=(48, 6)).astype(np.float32) for name in "ab"}}
batch = {"group": random.integers(0, 40, 48).astype(np.int32), "a/here": random.random(48) < 0.8}
found = {}
losses = {"InfoNCE": lambda *x: InfoNCE("a", "b", True, 0.1, 0.5, *x), "Sigmoid": lambda *x: Sigmoid("a", "b", -1.0, *x)}
for name, make in losses.items():
    def run(loss, outputs, batch):
        def total(outputs):
            rows = loss(outputs, batch)
            return jnp.sum(rows.values), rows
        (_, rows), gradients = jax.jit(jax.value_and_grad(total, has_aux=True))(outputs)
        return {"values": rows.values, **gradients}

    expected = run(make(False), outputs, batch)
    for devices in (1, 2, 4, 8):
        kind = AxisType.Explicit if devices in (2, 8) else AxisType.Auto
        shape, axis = ((2, 2), ("data", "fsdp")) if devices == 4 else ((devices,), "data")
        names = axis if devices == 4 else (axis,)
        mesh = jax.make_mesh(shape, names, axis_types=(kind,) * len(names), devices=jax.devices()[:devices])
        put = lambda x: jax.device_put(x, NamedSharding(mesh, PartitionSpec(axis) if np.ndim(x) else PartitionSpec()))
        with jax.set_mesh(mesh):
            got = run(make(None, axis), jax.tree.map(put, outputs), jax.tree.map(put, batch))
        pairs = {key: (np.asarray(got[key]), np.asarray(x)) for key, x in expected.items()}
        far = {key: float(np.abs(x - y).max() / np.abs(y).max()) for key, (x, y) in pairs.items()}
        stays = [len(got[key].addressable_shards[0].data) for key in ("values", "a/unit", "b/unit")]
        found[f"{name} {devices}"] = {"far": far, "stays": stays}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    """How far the results over each number of devices are from the dense one, relative to its largest number."""
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["InfoNCE", "Sigmoid"])
def test_any_number_of_devices_gives_the_values_and_gradients_of_one(found, name, devices):
    case = found[f"{name} {devices}"]
    assert set(case["far"]) == {"values", "a/unit", "b/unit", "scale"}
    assert max(case["far"].values()) < 1e-5, case
    assert case["stays"] == [48 // devices] * 3, "values and gradients lie where their rows do"


def given(rows: int) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32))
    return {"a/unit": x, "b/unit": x, "scale": jnp.float32(1.0)}, {"x": jnp.zeros(rows)}


def test_without_such_an_axis_of_a_mesh_it_says_so():
    with pytest.raises(ValueError, match=r"axis='data' is no axis of the mesh in use; its axes: none"):
        InfoNCE("a", "b", axis="data")(*given(4))


def test_rows_that_do_not_divide_by_the_devices_are_told():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh), pytest.raises(ValueError, match=r"5 rows do not divide by the 2 devices of axis 'data'"):
        InfoNCE("a", "b", axis="data")(*given(5))


def test_losses_within_losses_are_told_the_axis_and_the_rest_stay_as_they_are():
    axis = ("data", "fsdp")
    losses = {
        "one": (1.0, InfoNCE("a", "b", tiled=False)),
        "two": (0.5, Weighted(Matryoshka(Sigmoid("a", "b"), (2,)))),
        "three": (2.0, Triplet("a", "b")),
    }
    assert on_mesh(losses, axis) == {
        "one": (1.0, InfoNCE("a", "b", axis=axis)),
        "two": (0.5, Weighted(Matryoshka(Sigmoid("a", "b", axis=axis), (2,)))),
        "three": (2.0, Triplet("a", "b")),
    }
