"""The strict frame of every test: shapes and types checked, no silent promotion, warnings are errors, nothing is fetched.

All of it is set before anything imports jax or sensorium. `warnings as errors` is in pyproject.toml.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from quick import PROGRAMS, collect_seldom, equal_programs_once, one_context

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

for _name in ("jax", "sensorium"):
    if _name in sys.modules:
        raise RuntimeError(f"{_name} was imported before tests/conftest.py: its strict settings would come too late")

FAST = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""The older way of compiling for a CPU, each program in one piece: what tests wait for is mostly the compilation of tiny ones."""
STRICT = {
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    # Two devices, so that a program that is right on one only is seen; one thread each, as tiny programs lose by more.
    "XLA_FLAGS": f"--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false {FAST}",
}
EVERYWHERE = {  # the processes that tests start get these too
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # most of a tiny program's time is its compilation
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # no program says which line of Python each of its operations is from
    "PYTHONDONTWRITEBYTECODE": "",  # where it is set, every process would compile all of Python's sources again
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA logs an error for each program from the cache of a machine with other features
}
os.environ.update(EVERYWHERE)
os.environ.update(STRICT)
sys.dont_write_bytecode = False
install_import_hook("sensorium", "typecheck.check")

# The same examples in every run: a red test stays red until it is mended, and the timings of runs compare.
settings.register_profile("sensorium", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("sensorium")

MOST_MAPS = 16_000
"""Of the 65,530 memory maps that Linux gives a process; every compiled program takes three, and past the last one it crashes."""


@pytest.fixture(autouse=True, scope="session")
def quickly():
    """See tests/quick.py."""
    collect_seldom()
    with one_context(), equal_programs_once():
        yield


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forgets the compiled programs after a file of tests where they have become many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and len(maps.read_bytes().splitlines()) > MOST_MAPS:
        import jax

        PROGRAMS.clear()
        jax.clear_caches()


@pytest.fixture(scope="session")
def programs_kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for processes that run equal programs one after another: what took long to compile is kept for the next.

    Not for this process: of its many small programs each would be written and few found.
    """
    kept = tmp_path_factory.mktemp("programs")
    return {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(kept),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    }


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def user_env() -> dict[str, str]:
    """The environment of a user's process: without the strict settings of this one, but as quick to compile."""
    return {key: value for key, value in os.environ.items() if key not in STRICT} | {"XLA_FLAGS": FAST}


@pytest.fixture(scope="session")
def command(user_env: dict[str, str]) -> Command:
    """`command("data", "check", folder)` runs the command line as a user does, in its own process.

    `env` adds variables, `cwd` is where it runs, `timeout` in seconds. The strict settings of this process are not passed on.
    """

    def run(*arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 120):
        line = [sys.executable, "-m", "sensorium", *map(str, arguments)]
        return subprocess.run(
            line, env=user_env | (env or {}), cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
        )

    return run
