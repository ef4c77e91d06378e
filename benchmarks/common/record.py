"""How a result is kept: as JSON beside the benchmarks, with the machine, the commit and the versions it was measured with."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parents[1]
LIBRARIES = ("sensorium", "jax", "flax", "optax", "numpy")


def write(name: str, result: dict) -> None:
    """Writes `results/<name>.json`."""
    versions = {"python": platform.python_version(), **{library: version(library) for library in LIBRARIES}}
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    about = {"machine": machine(), "commit": commit(), "versions": versions}
    path.write_text(json.dumps({**result, **about}, indent=2) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    """The processor's name and the number of its cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(), "system": platform.system()}


def commit() -> str | None:
    """The commit that was measured, with + where more than results differs from it; None outside a repository."""
    here = HERE
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    if head.returncode:
        return None
    status = ["git", "status", "--porcelain", "--", ":(top)", ":(top,exclude)benchmarks/results"]
    changed = subprocess.run(status, cwd=here, capture_output=True, text=True, check=True).stdout
    return head.stdout.strip() + ("+" if changed else "")
