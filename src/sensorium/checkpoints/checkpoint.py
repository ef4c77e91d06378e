"""Checkpoints of a run that can be trusted: whole or absent, checked byte by byte before they are used.

    RUN/checkpoints/00000120/arrays/…        every array of the run (Orbax)
                             state.json      the rest: where the data stands, what was told, …
                             manifest.json   written last: size and SHA-256 of each of these files, and its own

How they are whole at whatever moment the process is killed: `shelf`.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from sensorium.checkpoints.arrays import Kind, Like, compare, digest, digest_of, finish, kinds, read, taken, write
from sensorium.checkpoints.shelf import Shelf
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.files import read_json
from sensorium.core.sealed import read_seal, verify


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it was read. `about` and `notes` are what was given to `save`; `told` says, a sentence each, which newer
    checkpoints could not be used and why."""

    step: int
    arrays: dict[str, jax.Array]
    about: dict[str, Any]
    notes: dict[str, Any]
    best: bool
    told: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of the run in the directory `run`, in its folder `checkpoints`. The last `keep` and the best one stay.

    Only the holder of the run's `RunLock` may `save`; reading needs no lock. With several processes (`jax.process_count()`)
    all call `save` and `load` together, on a folder that all of them see, and `save` writes before it returns.
    """

    def __init__(self, run: Path | str, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep={keep}: at least the last checkpoint has to be kept")
        self._shelf = Shelf(Path(run) / "checkpoints", keep)
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    @property
    def folder(self) -> Path:
        return self._shelf.folder

    def save(
        self,
        step: int,
        arrays: Mapping[str, jax.Array],
        about: Mapping[str, Any],
        *,
        best: bool = False,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Saves the run after `step` steps. Returns when `arrays` may be donated; a thread goes on writing.

        `about` (JSON) belongs to what decides the run's future, and so to its digest; `notes` (JSON) do not: times, what was
        shown. An earlier write is waited for, and its error raised here. Checkpoints of later steps are removed once this one
        stands: the run has left that future.
        """
        self.wait()
        if step < 0:
            raise ValueError(f"step={step}: a number of steps is expected")
        told, held = kinds(arrays), taken(arrays)
        # As text, now: the caller may go on changing what these hold.
        state = json.dumps({"about": dict(about), "notes": dict(notes or {}), "arrays": told}, ensure_ascii=False)
        if jax.process_count() > 1:
            self._write_together(step, held, state, best)
            return

        def work() -> None:
            try:
                self._write(step, held, state, best)
            except BaseException as error:
                self._error = error

        self._thread = Thread(target=work, name=f"checkpoint {step}")
        self._thread.start()

    def wait(self) -> None:
        """Returns when nothing is being written any more; raises what went wrong with it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if isinstance(error, OSError | ValueError):  # of Orbax: a full disk is a ValueError there
            raise SensoriumError(f"{self.folder}: a checkpoint could not be written: {error}. Those before it stand") from error
        if error is not None:
            raise error

    def close(self) -> None:
        self.wait()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def steps(self) -> list[int]:
        """The steps of the whole checkpoints (their manifests are there; `verify` says more), oldest first."""
        return self._shelf.steps()

    def best(self) -> int | None:
        """The step of the newest checkpoint that was saved as the best one."""
        return self._shelf.best()

    def place(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self._shelf.place(step)

    def verify(self, step: int) -> None:
        """A `BadFile` names the first file of a checkpoint that is not as it was written, and how it differs."""
        self.wait()
        found = verify(self.place(step))["step"]
        if found != step:
            raise BadFile(f"{self.place(step)}: this is the checkpoint of step {found}: its folder was renamed")

    def load(self, step: int | None = None, like: Like | None = None) -> Saved | None:
        """The newest checkpoint whose every byte is as it was written; None where there is none.

        One that is torn or corrupted is left out, and named in `told`; `BadFile` where all are. With `step` that one is meant
        and no other: None where it is absent, `BadFile` where it is not whole. `like` gives the devices to put the arrays on
        (which may be others than they came from), and a `BadFile` lists whatever has another name, type or shape there.
        """
        self.wait()
        chosen, told = self._choose(step)
        if chosen is None:
            return None
        place = self.place(chosen)
        seal_, state = read_seal(place), read_json(place / "state.json")
        saved = {name: Kind(dtype, tuple(shape), key) for name, (dtype, shape, key) in state["arrays"].items()}
        if like is not None:
            compare(place, saved, like)
        arrays = read(place / "arrays", saved, like)
        if jax.process_count() == 1 and seal_["digest"] is not None:
            got = digest(arrays, state["about"])
            if got != seal_["digest"]:
                raise BadFile(f"{place}: the files are whole, but the arrays read from them are not those that were saved: {got}")
        return Saved(chosen, arrays, state["about"], state["notes"], seal_["best"], tuple(told))

    def _choose(self, step: int | None) -> tuple[int | None, list[str]]:
        """The checkpoint to read, the same in every process: process 0 verifies, as all see the same files."""
        if jax.process_count() == 1:
            return self._newest(step)
        chosen, told, failed = None, [], None
        if jax.process_index() == 0:
            try:
                chosen, told = self._newest(step)
            except BadFile as error:
                failed = error
        mine = np.array([-1 if chosen is None else chosen, failed is not None], np.int32)
        number, bad = (int(x) for x in multihost_utils.broadcast_one_to_all(mine))
        if bad:
            raise failed or BadFile(f"{self.folder}: process 0 found no checkpoint that is whole, and says why")
        return (None if number < 0 else number), told

    def _newest(self, step: int | None) -> tuple[int | None, list[str]]:
        told: list[str] = []
        for one in reversed(self.steps()) if step is None else [step] if step in self._shelf.numbers() else []:
            try:
                self.verify(one)
                return one, told
            except BadFile as error:
                told.append(f"{error}: the checkpoint of step {one} is not used")
        if told:
            raise BadFile(f"{self.folder}: no checkpoint is whole: {'; '.join(told)}. Move this folder away to begin anew")
        return None, told

    def _write(self, step: int, held: Mapping[str, np.ndarray | jax.Array], state: str, best: bool) -> None:
        new = self._shelf.begin(step)
        try:
            write(new / "arrays", held)
            finish(new / "arrays")
            value = json.loads(state)
            told = {name: Kind(*kind) for name, kind in value["arrays"].items()}
            self._end(step, state, best, digest_of(told, held, value["about"]))
        finally:
            shutil.rmtree(new, ignore_errors=True)  # it is there only if something went wrong

    def _write_together(self, step: int, held: Mapping[str, np.ndarray | jax.Array], state: str, best: bool) -> None:
        """As `_write`, by all processes, in the calling thread: their talk must not cross that of the training."""
        folder, first = self._shelf.hidden(step) / "arrays", jax.process_index() == 0
        _together(lambda: self._shelf.begin(step) if first else None)
        _together(lambda: write(folder, held))
        _together(lambda: (finish(folder), self._end(step, state, best, None)) if first else None)  # no process sees all arrays

    def _end(self, step: int, state: str, best: bool, digest: str | None) -> None:
        (self._shelf.hidden(step) / "state.json").write_text(state, encoding="utf-8")
        when = datetime.now(UTC).isoformat(timespec="seconds")
        self._shelf.end(step, {"step": step, "best": best, "when": when, "digest": digest})


def _together(work: Callable[[], object]) -> None:
    """Does something in every process and waits for all; where it fails in one, it fails in all, and none waits for ever."""
    error = None
    try:
        work()
    except (OSError, ValueError) as failure:
        error = failure
    failed = np.flatnonzero(multihost_utils.process_allgather(np.asarray(error is not None)))
    if len(failed):
        where = f"in process {', '.join(map(str, failed))}"
        raise SensoriumError(
            f"a checkpoint could not be written {where}: {error or 'see there'}. Those before it stand"
        ) from error
