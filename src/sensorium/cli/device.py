"""How the command line uses JAX: compiled programs are kept between runs."""

import os
from pathlib import Path


def prepare() -> None:
    """Call it before anything compiles. Honours JAX's own variables; the cache is in `$XDG_CACHE_HOME/sensorium`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA logs an error for each program from a machine with other features
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensorium" / "compiled"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR") and _writable(cache):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _writable(cache: Path) -> bool:
    """Whether programs can be kept there; if not, JAX would warn of each one, and only speed is lost."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache, os.W_OK | os.X_OK)
