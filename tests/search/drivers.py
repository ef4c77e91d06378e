"""The stores that every test of behaviour runs on: each as a function from a folder to an empty store, and to the same opened
again by somebody else."""

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
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
    "lance": Driver(lambda path: Lance(path / "c"), lambda path, store: Lance(store.uri)),
    "lance bucket": Driver(lambda path: Lance(f"{bucket()}/{named(path)}"), lambda path, store: Lance(store.uri)),
    "milvus file": Driver(lambda path: Milvus(f"milvus://{path}/c.db"), lambda path, store: Milvus(store.uri)),
    "milvus server": Driver(
        lambda path: Milvus(f"milvus://{milvus_server()}/{named(path)}"), lambda path, store: Milvus(store.uri)
    ),
}


def named(path: Path) -> str:
    """A name of its own for each folder, of letters and digits."""
    return f"c{abs(hash(path))}"


@cache
def milvus_server() -> str:
    """One of milvus-lite in a process of its own, for as long as this one lives."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return _serving(lambda port: ["milvus_lite", "server", "--host", "127.0.0.1", "--port", port, "--data-dir", folder.name])


@cache
def bucket() -> str:
    """A bucket of a server that speaks S3, in a process of its own, for as long as this one lives."""
    place = f"http://{_serving(lambda port: ['moto.server', '-H', '127.0.0.1', '-p', port])}"
    urllib.request.urlopen(urllib.request.Request(f"{place}/bucket", method="PUT")).close()
    keys = {"AWS_ENDPOINT": place, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    os.environ |= {**keys, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    return "s3://bucket"


def _serving(module: Callable[[str], list[str]]) -> str:
    """host:port of a module of Python that serves at a port, once it answers."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    command = [sys.executable, "-m", *module(str(port))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(lambda: (process.terminate(), process.wait()))
    for _ in range(600):
        with socket.socket() as some:
            if some.connect_ex(("127.0.0.1", port)) == 0:
                return f"127.0.0.1:{port}"
        assert process.poll() is None
        time.sleep(0.1)
    raise TimeoutError(f"{command[2]} does not serve")


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
