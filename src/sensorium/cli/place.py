"""Where results go: looked at before the work, not found wanting after minutes of it."""

import os
from pathlib import Path

from sensorium.core.errors import SensoriumError


def folder(out: Path) -> None:
    """Sees to it that `out` is, or can become, a folder that can be written to; `SensoriumError` where not. Makes nothing."""
    if out.exists() and not out.is_dir():
        raise SensoriumError(f"{out} is a file: --out names a folder, give another path")
    above = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not above.is_dir():
        raise SensoriumError(f"{out} cannot be made: {above} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise SensoriumError(f"{out} cannot be written: no permission to write in {above}")


def unused(out: Path, mark: str, overwrite: bool) -> None:
    """Sees to it that a folder is new or empty; one that holds `mark`, which an earlier call of ours left, may be overwritten."""
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / mark).exists():
        raise SensoriumError(f"{out} holds other files (no {mark}): give another --out, so that nothing is lost")
    if not overwrite:
        raise SensoriumError(f"{out} holds an earlier run: give another --out, or --overwrite to replace it")
