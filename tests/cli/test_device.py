"""Memory that a compiled program needs is kept between its runs, unless the environment says what becomes of it."""

import json
import os
import subprocess
import sys

import pytest

RUN = """
import json, resource, sys
from sensorium.cli import device
if sys.argv[1] == "kept":
    device.keep_memory()
import jax, jax.numpy as jnp
x = jnp.arange(2**20, dtype=jnp.float32)
program = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y + i, jnp.outer(x[:16], x)).sum())  # 64 MB at a time
program(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    value = program(x).block_until_ready()
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, float(value)]))
"""


def faults(how: str, **more: str) -> tuple[int, float]:
    """Pages that were cleared for five runs of a program, and what it gives."""
    given = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    line = [sys.executable, "-c", RUN, how]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=given | more)
    pages, value = json.loads(done.stdout)
    return pages, value


@pytest.mark.skipif(sys.platform != "linux", reason="there is no mallopt")
def test_memory_is_kept_between_steps():
    let_go, value = faults("let go")
    kept, same = faults("kept")
    assert same == value and let_go > 5 * 2**14 and kept < let_go / 20
    assert faults("kept", MALLOC_ARENA_MAX="8")[0] > let_go / 2, "what a person has set stays as it is"
