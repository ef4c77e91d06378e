"""How the command line uses JAX: compiled programs are kept between runs."""

import os
from collections.abc import Callable
from functools import wraps
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


def together(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb that several processes carry out as one, where the environment says that there are several; the first one speaks."""

    @wraps(verb)
    def call(*args: P.args, **dials: P.kwargs) -> R:
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
