"""What makes processes that compile many tiny programs quicker, and changes nothing that they compute.

It reaches into jax where jax has no dial for it; an XLA flag or a variable that does the same is in conftest.py.
"""

import gc
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

USES = 100
"""After so many programs a context is given up, with the types and constants that it holds."""
PROGRAMS: dict[tuple[str, str, bytes], Any] = {}
"""What this process has compiled, by the text of the program, its devices and options."""


def collect_seldom() -> None:
    """Python looks for cycles after 20,000 new objects, and not after 700, and no more among those that are here already.

    Tracing makes objects by the ten thousand, and all but a few go by themselves.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@contextmanager
def one_context() -> Iterator[None]:
    """Programs are written in one MLIR context a thread, where jax makes one for each: a fifth of a tiny program's time."""
    from jax._src.interpreters import mlir

    anew, own = mlir.make_ir_context, threading.local()

    def kept() -> Any:
        left = getattr(own, "left", 0)
        own.context, own.left = (own.context, left - 1) if left else (anew(), USES - 1)
        return own.context

    mlir.make_ir_context = kept
    try:
        yield
    finally:
        mlir.make_ir_context = anew


@contextmanager
def equal_programs_once() -> Iterator[None]:
    """Compiles equal programs once a process, where jax would for each function that is traced anew.

    It took a sixth off the CPU time of three files, run once (92 and 76 s).
    """
    from jax._src import compiler

    compile_anew = compiler.compile_or_get_cached

    def remembered(backend, computation, devices, compile_options, host_callbacks, *rest, **more):
        if host_callbacks:
            return compile_anew(backend, computation, devices, compile_options, host_callbacks, *rest, **more)
        text = hashlib.sha256(str(computation).encode()).hexdigest()
        key = text, str(devices), compile_options.SerializeAsString()
        if key not in PROGRAMS:
            PROGRAMS[key] = compile_anew(backend, computation, devices, compile_options, host_callbacks, *rest, **more)
        return PROGRAMS[key]

    compiler.compile_or_get_cached = remembered
    try:
        yield
    finally:
        compiler.compile_or_get_cached = compile_anew
