"""The arrays of a run in files and out of them again, by Orbax; and one digest over all of them.

Orbax gives the files that many hosts can write together. What it does not promise is kept here: names with any characters,
typed PRNG keys, empty arrays, and types that are compared instead of cast.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np

from sensorium.core.differences import differences
from sensorium.core.errors import BadFile

Like = Mapping[str, jax.Array | jax.ShapeDtypeStruct]


class Kind(NamedTuple):
    """What an array is without its numbers; `key` is the implementation of a typed PRNG key, such as "threefry2x32"."""

    dtype: str
    shape: tuple[int, ...]
    key: str | None = None


def kinds(arrays: Like) -> dict[str, Kind]:
    return {name: Kind(str(x.dtype), tuple(x.shape), _key(x)) for name, x in arrays.items()}


def taken(arrays: Mapping[str, jax.Array]) -> dict[str, np.ndarray | jax.Array]:
    """Copies that outlive a donation of `arrays`: on the host where this process sees the whole of an array, else as it lies."""
    data = {name: _data(x) for name, x in arrays.items()}
    for x in data.values():
        x.copy_to_host_async()
    if jax.process_count() > 1:  # these are written before the caller goes on
        return dict(data)
    return {name: np.array(x) for name, x in data.items()}


def write(folder: Path, held: Mapping[str, np.ndarray | jax.Array]) -> None:
    """Writes what was `taken`. With several processes each calls this, and process 0 then calls `finish` when all have."""
    import orbax.checkpoint as ocp

    item = {quote(name, safe=""): x for name, x in held.items() if x.size}  # Orbax takes no empty arrays
    with _quiet():
        folder.mkdir(exist_ok=True)
        _handler().save(_absolute(folder), args=ocp.args.PyTreeSave(item))  # pyright: ignore[reportCallIssue]


def finish(folder: Path) -> None:
    """Makes one set of files of those that the processes have written."""
    with _quiet():
        _handler().finalize(_absolute(folder))


def read(folder: Path, saved: Mapping[str, Kind], like: Like | None = None) -> dict[str, jax.Array]:
    """The arrays of a folder, on the devices that `like` says, or else on the default one."""
    import orbax.checkpoint as ocp

    where = {name: like[name].sharding if like else None for name in saved}
    many = jax.process_count() > 1
    item, how = {}, {}
    for name, kind in saved.items():
        if 0 not in kind.shape:
            item[quote(name, safe="")] = 0
            host = ocp.RestoreArgs(restore_type=np.ndarray)
            there = many and where[name] is not None
            how[quote(name, safe="")] = ocp.ArrayRestoreArgs(sharding=where[name]) if there else host
    with _quiet():
        args = ocp.args.PyTreeRestore(item=item, restore_args=how)  # pyright: ignore[reportCallIssue]
        found = _handler().restore(_absolute(folder), args=args) if item else {}
    return {
        name: _placed(found[quote(name, safe="")] if 0 not in kind.shape else _empty(kind), where[name], kind)
        for name, kind in saved.items()
    }


def compare(path: Path, saved: Mapping[str, Kind], like: Like) -> None:
    """A `BadFile` that lists every array that is missing, unknown, or of another shape or type than `like` says."""
    if wrong := differences(saved, kinds(like)):
        told = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise BadFile(f"{path}: the arrays do not fit this run: {told}. Go on with the arguments that it was begun with")


def digest(arrays: Mapping[str, jax.Array], about: Mapping[str, Any]) -> str:
    """The SHA-256 of everything that decides the future of a run: name, type, shape and bytes of each array, and `about`.

    `arrays` must be visible to this process as a whole, `about` is JSON; the order of neither counts.
    """
    return digest_of(kinds(arrays), {name: np.asarray(_data(x)) for name, x in arrays.items()}, about)


def digest_of(told: Mapping[str, Kind], held: Mapping[str, np.ndarray | jax.Array], about: Mapping[str, Any]) -> str:
    """`digest` of arrays that were `taken`."""
    sha = hashlib.sha256()
    for name in sorted(held):
        sha.update(json.dumps([name, told[name].dtype, told[name].shape]).encode() + b"\n")
        sha.update(np.ascontiguousarray(np.asarray(held[name])).reshape(-1).view(np.uint8).data)
    sha.update(json.dumps(about, sort_keys=True).encode())
    return sha.hexdigest()


def _data(x: jax.Array) -> jax.Array:
    return jax.random.key_data(x) if _is_key(x) else x


def _is_key(x: jax.Array | jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _key(x: jax.Array | jax.ShapeDtypeStruct) -> str | None:
    return str(jax.random.key_impl(x)) if isinstance(x, jax.Array) and _is_key(x) else None


def _empty(kind: Kind) -> np.ndarray:
    if kind.key is None:
        return np.zeros(kind.shape, jnp.dtype(kind.dtype))
    unit = jax.random.key_data(jax.random.key(0, impl=kind.key))
    return np.zeros((*kind.shape, *unit.shape), unit.dtype)


def _placed(x: np.ndarray | jax.Array, sharding: jax.sharding.Sharding | None, kind: Kind) -> jax.Array:
    # Copies: what is donated must not share its bytes with an array of Orbax's.
    data = x if isinstance(x, jax.Array) else jax.device_put(x, sharding, may_alias=False)
    return data if kind.key is None else jax.random.wrap_key_data(data, impl=kind.key)


def _absolute(folder: Path) -> Any:
    from etils import epath

    return epath.Path(folder.absolute())


def _handler() -> Any:
    import orbax.checkpoint as ocp

    # OCDBT: ten files instead of two for each array, each of which would have to be synced. Floats hardly compress.
    return ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_compression=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax logs through absl what it does; its errors are raised."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
