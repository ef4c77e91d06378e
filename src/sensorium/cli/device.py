"""How the command line uses JAX: compiled programs are kept between runs, and memory between steps."""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def prepare() -> None:
    """Call it before anything compiles. Honours JAX's own variables; the cache is in `$XDG_CACHE_HOME/sensorium`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA logs an error for each program from a machine with other features
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensorium" / "compiled"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR") and _writable(cache):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@cache
def keep_memory() -> None:
    """Call it before JAX begins, by verbs that compute for long. What a step needs beside its arguments is some 100 MB that
    glibc gives back to the system after each one, which clears it page by page for the next: a sixth of the time that training
    takes on a CPU. Here it stays, in huge pages. Nothing happens without glibc, nor where the environment says what malloc does.

    In a Python of one's own this does the same, and has to be there when it starts:
    GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647:glibc.malloc.hugetlb=1
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
        libc.mallopt(option, value)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free(libc.malloc(_ROOM))  # the heap grows by so much, none of which is there until it is written to
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[heap]"):
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            start = -(-start // _HUGE) * _HUGE
            libc.madvise(start, end - start, _HUGE_PAGES)


_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Options of mallopt(3)."""
_HUGE_PAGES, _HUGE, _ROOM = 14, 2**21, 2**30
"""Advice of madvise(2), and bytes."""


def together(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb that several processes carry out as one, where the environment says that there are several; the first one speaks."""

    @wraps(verb)
    def call(*args: P.args, **dials: P.kwargs) -> R:
        keep_memory()
        prepare()
        from sensorium.cli.progress import silenced
        from sensorium.training.hosts import joined

        with joined() as speaks:
            if speaks:
                return verb(*args, **dials)
            with silenced():
                return verb(*args, **dials)

    return call


def _writable(cache: Path) -> bool:
    """Whether programs can be kept there; if not, JAX would warn of each one, and only speed is lost."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache, os.W_OK | os.X_OK)
