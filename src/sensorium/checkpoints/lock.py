"""One trainer a run directory: the operating system holds the lock, and frees it when the process ends, however it ends."""

import json
import os
import shlex
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from sensorium.core.errors import SensoriumError

FAR = 1 << 30
"""The byte that is locked on Windows: far behind the text, which another process must be able to read."""


class InUse(SensoriumError):
    """Another process is training in this directory; the text says which, as far as it has told."""


class RunLock:
    """The right to write into a run directory: a held lock on its file `lock`, not the presence of that file.

    `with RunLock(folder): …` or `take` and `free`. `InUse` where another process holds it (or another `RunLock` of this one).
    The file tells who holds it, for people only; it stays behind, and means nothing when nobody holds the lock.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.path = self.folder / "lock"
        self._file: int | None = None

    def take(self) -> None:
        if self._file is not None:
            raise InUse(f"{self.path}: this RunLock is held already")
        self.folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)  # not inherited by the processes that are started meanwhile
        try:
            _lock(file)
        except OSError as error:
            told = os.pread(file, 4096, 0) if os.name != "nt" else os.read(file, 4096)
            os.close(file)
            raise InUse(
                f"{self.folder}: another process is training here: {_told(told)}. Wait for its end or stop it, or give this run "
                "another directory"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, json.dumps(_self(), ensure_ascii=False).encode())
        self._file = file

    def free(self) -> None:
        if self._file is not None:
            os.close(self._file)  # which frees the lock; the file stays, as a remover would race with the next one to take it
            self._file = None

    def __enter__(self) -> "RunLock":
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.free()


def _lock(file: int) -> None:
    """Locks an open file for this process, or raises `OSError` at once."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _self() -> dict[str, str | int]:
    command = shlex.join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": since}


def _told(text: bytes) -> str:
    """Who holds the lock, in words; it may not have written that yet."""
    try:
        who = json.loads(text)
        return f"process {who['pid']} on {who['host']}, since {who['since']} ({who['command']})"
    except (ValueError, KeyError, TypeError):
        return "a process that has not yet told which"
