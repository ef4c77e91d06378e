"""Numbered folders that are whole or absent, at whatever moment the process that writes them is killed.

A folder is written under a hidden name, sealed, and renamed into its place. One that goes is renamed to a hidden name before
it is deleted. So whatever has a number as its name is whole.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.files import sync
from sensorium.core.sealed import MANIFEST, read_seal, seal

NEW, OLD, GONE = "new", "old", "gone"
"""Endings of the hidden folders: being written; standing aside for one of the same number; being deleted."""


class Shelf:
    """The folders of one place. One process at a time may write (`begin`, `end`); any may read. Keeps the last `keep`, and
    the newest that was the best when it was written."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep
        self._cleared = False

    def place(self, step: int) -> Path:
        """Where the folder of a step is, or would be."""
        place, old = self.folder / _name(step), self._hidden(step, OLD)
        return old if old.is_dir() and not place.exists() else place

    def numbers(self) -> set[int]:
        """The steps that have a folder, be it whole or not."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        found = (re.fullmatch(rf"(\d{{8,}})|\.(\d{{8,}})\.{OLD}", name) for name in names)
        return {int(match[1] or match[2]) for match in found if match}

    def steps(self) -> list[int]:
        """The steps whose folders have their manifests, oldest first."""
        return sorted(step for step in self.numbers() if (self.place(step) / MANIFEST).is_file())

    def best(self, last: int | None = None) -> int | None:
        """The newest step that was the best when it was written; none later than `last`."""
        return next((step for step in reversed(self.steps()) if (last is None or step <= last) and self._was_best(step)), None)

    def hidden(self, step: int) -> Path:
        """Where the folder of a step is while it is being written."""
        return self._hidden(step, NEW)

    def begin(self, step: int) -> Path:
        """An empty hidden folder to write into. The first call removes what a killed process left behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._cleared:
            self._clear()
            self._cleared = True
        shutil.rmtree(self.hidden(step), ignore_errors=True)
        self.hidden(step).mkdir()
        return self.hidden(step)

    def end(self, step: int, about: dict[str, Any]) -> None:
        """Seals the hidden folder with `about` (JSON, "best" in it), puts it into its place, and removes those that need not
        stay: the old ones, and all later ones, which are of a future that the run has left."""
        place, old = self.folder / _name(step), self._hidden(step, OLD)
        seal(self.hidden(step), about)
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)  # until the next line has run, this is the one of that step
        self.hidden(step).rename(place)
        sync(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        earlier = [one for one in self.steps() if one <= step]
        kept = {*earlier[-self.keep :], self.best(last=step)}
        for one in self.steps():
            if one not in kept:
                self._remove(one)

    def _remove(self, step: int) -> None:
        gone = self._hidden(step, GONE)
        shutil.rmtree(gone, ignore_errors=True)
        self.place(step).rename(gone)
        sync(self.folder)
        shutil.rmtree(gone)

    def _clear(self) -> None:
        for path in list(self.folder.iterdir()):
            if match := re.fullmatch(rf"\.(\d{{8,}})\.({NEW}|{OLD}|{GONE})", path.name):
                place = self.folder / match[1]
                if match[2] == OLD and not place.exists():
                    path.rename(place)
                else:
                    shutil.rmtree(path)
        sync(self.folder)

    def _hidden(self, step: int, ending: str) -> Path:
        return self.folder / f".{_name(step)}.{ending}"

    def _was_best(self, step: int) -> bool:
        try:
            return read_seal(self.place(step))["best"]
        except BadFile:  # a broken one is no best one; who reads it is told
            return False


def _name(step: int) -> str:
    return f"{step:08d}"
