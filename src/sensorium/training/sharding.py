"""Which device holds what: rows of batches over all of them, parameters and what belongs to them in parts (fsdp) or whole.

JAX's own partitioner (GSPMD) does the rest: a program says what is computed, these shardings where its inputs lie.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from sensorium.core.batch import Batch
from sensorium.core.errors import SensoriumError

AXES = ("data", "fsdp")
LEAST = 4096
"""Numbers in an array that is worth cutting: below, its traffic is all overhead."""


class BadMesh(SensoriumError, ValueError):
    """A mesh that the devices do not fill, or that has another axis than those there are."""


@dataclass(frozen=True)
class Placement:
    """A mesh of devices with the axes "data" and "fsdp". Rows are shared by all devices, parameters cut over "fsdp"
    (ZeRO stage 3, Rajbhandari et al. 2020): each device keeps a part, and gathers the rest when it is needed."""

    mesh: Mesh

    @classmethod
    def of_text(cls, text: str) -> "Placement":
        """`data=-1,fsdp=4` over all devices; -1 is what remains, an axis not named is 1. `BadMesh` says what does not fit."""
        return cls(jax.make_mesh(_sizes(text, jax.device_count()), AXES, axis_types=(AxisType.Auto,) * len(AXES)))

    @classmethod
    def wanted(cls, text: str | None) -> "Placement | None":
        """`of_text`, or None for one device. Several processes without a mesh would be as many separate runs: a `BadMesh`."""
        if text is None and jax.process_count() > 1:
            raise BadMesh(f"{jax.process_count()} processes, and no mesh over their devices: say --mesh data=-1 (mesh=)")
        return cls.of_text(text) if text else None

    @property
    def devices(self) -> int:
        return self.mesh.size

    @property
    def everywhere(self) -> NamedSharding:
        """The sharding of what every device holds as a whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    def of(self, tree: Any) -> Any:
        """The sharding of every array of a state."""
        return jax.tree.map(self._of, tree)

    def _of(self, x: jax.Array) -> NamedSharding:
        """Its longest axis that "fsdp" divides is cut; small arrays, and those that it does not divide, are on every device."""
        parts = self.mesh.shape["fsdp"]
        axes = [(size, axis) for axis, size in enumerate(x.shape) if size % parts == 0]
        if parts == 1 or x.size < LEAST or not axes or jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return self.everywhere
        cut = max(axes)[1]
        return NamedSharding(self.mesh, PartitionSpec(*("fsdp" if axis == cut else None for axis in range(x.ndim))))

    def rows(self, batch: Batch | dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The batch over all devices, row by row; with several hosts, `batch` holds this host's rows."""
        split = NamedSharding(self.mesh, PartitionSpec(AXES))
        rows = len(next(iter(batch.values()))) * jax.process_count()
        if rows % self.devices:
            raise BadMesh(f"a batch of {rows} rows does not divide by {self.devices} devices: choose a multiple (--batch)")
        if all(isinstance(x, jax.Array) and x.sharding == split for x in batch.values()):
            return batch  # type: ignore[return-value]
        if jax.process_count() == 1:
            return jax.device_put(batch, split)
        return {name: jax.make_array_from_process_local_data(split, np.asarray(x)) for name, x in batch.items()}

    def origin(self, rows: int) -> Int[np.ndarray, " B"]:
        """Which row, counted through the parts of process 0, 1, …, each row of a batch over all devices is. A mesh
        may take devices in another order than their processes', as on a torus of TPUs."""
        return order(np.array([device.process_index for device in self.mesh.devices.flat]), rows)


def order(hosts: Int[np.ndarray, " D"], rows: int) -> Int[np.ndarray, " B"]:
    """`Placement.origin`, of devices that belong to these processes, in the order of the mesh."""
    place = np.empty(len(hosts), np.int64)
    place[np.argsort(hosts, kind="stable")] = np.arange(len(hosts))  # each device's, counted process by process
    return (place[:, None] * (rows // len(hosts)) + np.arange(rows // len(hosts))).reshape(-1)


def local(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Whole copies on this process's own device of arrays that lie on those of several processes, who all call this."""
    return {name: _local(x) for name, x in arrays.items()}


def _local(x: jax.Array) -> jax.Array:
    if x.is_fully_addressable:
        return x.copy()
    if x.is_fully_replicated:
        return x.addressable_data(0).copy()
    return jnp.asarray(multihost_utils.process_allgather(x, tiled=True))


def _sizes(text: str, devices: int) -> tuple[int, ...]:
    """The size of each axis of `AXES`."""
    sizes = dict.fromkeys(AXES, 1)
    for part in text.split(","):
        name, _, size = part.strip().partition("=")
        if name not in sizes or not size.removeprefix("-").isdigit() or int(size) < -1 or int(size) == 0:
            raise BadMesh(f"mesh {text!r}: {part.strip()!r} is no axis; write it as data=-1,fsdp=4 (-1: all that remain)")
        sizes[name] = int(size)
    known = int(np.prod([size for size in sizes.values() if size > 0]))
    if list(sizes.values()).count(-1) == 1 and devices % known == 0:
        sizes = {name: devices // known if size == -1 else size for name, size in sizes.items()}
    if -1 in sizes.values() or int(np.prod(list(sizes.values()))) != devices:
        raise BadMesh(f"mesh {text!r} does not fill the {devices} devices there are: the sizes multiply to that number")
    return tuple(sizes.values())
