"""Checkpoints and processes: one that is killed at any moment, and two that save together."""

import json
import os
import random
import socket
import subprocess
import sys
import time

import numpy as np
from checkpoints.saving import check_whole

from sensorium.checkpoints.checkpoint import Checkpoints

CHILD = """
import os, sys
import jax, numpy as np
import orbax.checkpoint
from sensorium.checkpoints.checkpoint import Checkpoints

def forever(run):
    checkpoints = Checkpoints(run)
    saved = checkpoints.load()
    step = saved.step if saved else 0
    while True:
        step += 1
        jax_arrays = {"model/w": jax.numpy.full((3, 2), float(step)), "count": jax.numpy.asarray(step, "int32")}
        checkpoints.save(step, jax_arrays, {"at": step}, best=step % 5 == 0)

print("ready", flush=True)
for line in sys.stdin:  # one fork a line: the imports are paid for once, and JAX starts only in the child
    pid = os.fork()
    if not pid:
        forever(line.strip())
    print(pid, flush=True)
    sys.stdin.readline()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


def test_kill_9_while_saving_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    draw = random.Random(0)
    run, process = (
        tmp_path / "run",
        subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ),
    )
    assert process.stdin and process.stdout

    def tell(text: str) -> str:
        assert process.stdin and process.stdout
        process.stdin.write(text + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    reached = [0]
    try:
        assert process.stdout.readline() == "ready\n"
        for _ in range(6):
            assert int(tell(str(run)))
            limit = time.monotonic() + 30
            while max(Checkpoints(run).steps(), default=0) <= reached[-1]:  # it has begun to save
                assert process.poll() is None and time.monotonic() < limit
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.15))
            assert tell("now") == "dead"
            reached.append(check_whole(run))
    finally:
        process.kill()
        process.communicate()
    assert reached == sorted(set(reached))  # it went on from each, and lost none that had been whole
    assert json.loads((Checkpoints(run).place(reached[-1]) / "state.json").read_text())["about"] == {"at": reached[-1]}


PAIR = """
import sys
import jax, numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sensorium.checkpoints.checkpoint import Checkpoints

port, rank, folder = sys.argv[1:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank))
mesh, checkpoints = Mesh(np.array(jax.devices()), ("data",)), Checkpoints(folder)
whole = np.arange(6, dtype=np.float32).reshape(2, 3)

def spread(x, *axes):
    return jax.make_array_from_callback(x.shape, NamedSharding(mesh, PartitionSpec(*axes)), lambda at: x[at])

for step in (1, 2):
    checkpoints.save(step, {"w": spread(whole + step, "data"), "count": spread(np.asarray(step, np.int32))}, {"at": step})
if rank == "0":
    (checkpoints.place(2) / "state.json").write_text("{}")
multihost_utils.sync_global_devices("one is broken")
saved = checkpoints.load(like={"w": spread(whole, "data"), "count": spread(np.asarray(0, np.int32))})
assert saved.about == {"at": 1}, saved
np.testing.assert_array_equal(saved.arrays["w"].addressable_data(0), whole[int(rank) :][:1] + 1)
assert int(saved.arrays["count"].addressable_data(0)) == 1
"""


def test_two_processes_save_together_and_one_goes_on(tmp_path):
    """Each holds a half of an array; both take the same checkpoint where the newest is broken; and so does this process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # one device a process
    pair = [
        subprocess.Popen([sys.executable, "-c", PAIR, str(port), rank, str(tmp_path)], env=one, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        told = [process.communicate(timeout=120)[1] for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert [process.returncode for process in pair] == [0, 0], told
    saved = Checkpoints(tmp_path).load()
    assert saved is not None and (saved.step, len(saved.told)) == (1, 1)
    np.testing.assert_array_equal(saved.arrays["w"], np.arange(6, dtype=np.float32).reshape(2, 3) + 1)
