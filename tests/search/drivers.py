"""The stores that every test of behaviour runs on: each as a function from a folder to an empty store, and to the same opened
again by somebody else."""

import atexit
import importlib.util
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sensorium.search.lance import Lance
from sensorium.search.memory import Memory
from sensorium.search.milvus import Milvus
from sensorium.search.store import Store


class Driver(NamedTuple):
    make: Callable[[Path], Store]
    again: Callable[[Path, Store], Store]


DRIVERS = {
    "memory": Driver(lambda path: Memory(), lambda path, store: store),
    "lance": Driver(lambda path: Lance(path / "c"), lambda path, store: Lance(path / "c")),
}
if importlib.util.find_spec("pymilvus") and importlib.util.find_spec("milvus_lite"):
    DRIVERS["milvus file"] = Driver(
        lambda path: Milvus(f"milvus://{path}/c.db"), lambda path, store: Milvus(f"milvus://{path}/c.db")
    )
    DRIVERS["milvus server"] = Driver(
        lambda path: Milvus(f"milvus://{milvus_server()}/c{abs(hash(path))}"), lambda path, store: Milvus(store.uri)
    )


@cache
def milvus_server() -> str:
    """One of milvus-lite in a process of its own, for as long as this one lives."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1", "--port", str(port), "--data-dir"]
    folder = tempfile.TemporaryDirectory()
    process = subprocess.Popen([*command, folder.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(lambda: (process.terminate(), process.wait(), folder.cleanup()))
    for _ in range(600):
        with socket.socket() as some:
            if some.connect_ex(("127.0.0.1", port)) == 0:
                return f"127.0.0.1:{port}"
        assert process.poll() is None
        time.sleep(0.1)
    raise TimeoutError("milvus-lite does not serve")


def rows(ids: list[str], **columns) -> pa.Table:
    """Columns of texts, numbers or truth values; `x` and `y` are vectors."""
    made = {"id": pa.array(ids, pa.string())}
    for name, values in columns.items():
        made[name] = array(values) if name in ("x", "y") else pa.array(values)
    return pa.table(made)


def array(vectors) -> pa.Array:
    width = len(next(v for v in vectors if v is not None))
    return pa.array([None if v is None else np.asarray(v, np.float32).tolist() for v in vectors], pa.list_(pa.float32(), width))


def contents(store: Store) -> list[dict]:
    return [row for table in store.scan(rows=7) for row in table.to_pylist()]
