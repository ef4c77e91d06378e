"""Decoding in a process apart: what crashes a codec, fills the memory or never ends, ends that process and nothing else.

`python -m sensorium.serve.apart` is such a process. It imports no more than the modalities do, takes (field, raw) one after
another as pickles, and answers with arrays as safetensors or with words: nothing of what it says is run here.
"""

import os
import pickle
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any

import numpy as np

from sensorium.core.errors import BadFile, MissingExtra, SensoriumError
from sensorium.core.limits import limits
from sensorium.core.protocols import Modality, Raw
from sensorium.modalities.raw import BadRaw
from sensorium.serve.moments import Moment

MEMORY = 4 << 30
"""Bytes of addresses that such a process may have: several times as much as the limits of the readers take."""
GRACE = 10
"""Seconds after the limit of the readers when it is ended."""
_HEAD = struct.Struct("<cQ")
_ARRAYS, _BAD, _MISSING, _OTHER = b"a", b"b", b"m", b"o"


@dataclass(frozen=True)
class Part:
    """A field that takes the part of a sound or film that begins at a second."""

    field: Modality
    start: float

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        from sensorium.search.cutting import window  # few things are such parts

        return self.field.prepare(window(self.field, raw, self.start))


class Decoder:
    """A process that prepares things, one after another, started when it is first asked and again after it has ended."""

    def __init__(self):
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, field: Modality | Part | Moment, raw: Raw) -> dict[str, np.ndarray]:
        """What `field.prepare(raw)` gives. `BadFile` where it raises anything that the thing is to blame for, where the process
        dies of it, or takes far too long; other errors of ours as they are."""
        asked, most = pickle.dumps((field, raw)), limits().seconds + GRACE
        process = self.start()
        late = Timer(most, process.kill)
        late.start()
        try:
            kind, told = _answer(process, asked)
        except (OSError, EOFError):
            why = "the process that decoded it has ended" if late.is_alive() else f"it could not be decoded within {most} s"
            self.close()
            raise BadFile(f"{why}: it may be broken on purpose") from None
        finally:
            late.cancel()
        if kind == _ARRAYS:
            from safetensors.numpy import load

            return load(told)
        raise {_BAD: BadFile, _MISSING: MissingExtra}.get(kind, SensoriumError)(told.decode())

    def start(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self.close()
            line = [sys.executable, "-m", "sensorium.serve.apart"]
            own = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread takes addresses
            # A session of its own: Ctrl-C is for the server, with which this one ends.
            self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own, start_new_session=True)
        return self._process

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was not sent to it
                    pipe.close()  # type: ignore[union-attr]  # both are pipes
            process.wait()


def _answer(process: "subprocess.Popen[bytes]", asked: bytes) -> tuple[bytes, bytes]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(struct.pack("<Q", len(asked)) + asked)
    process.stdin.flush()
    kind, size = _HEAD.unpack(_whole(process.stdout, _HEAD.size))
    return kind, _whole(process.stdout, size)


def _whole(pipe: IO[bytes], size: int) -> bytes:
    found = pipe.read(size)
    if len(found) < size:
        raise EOFError
    return found


def told(field: Modality | Part | Moment, raw: Raw) -> dict[str, np.ndarray]:
    """What `field.prepare(raw)` gives; what a thing is to blame for is a `BadFile` that names no path of this machine."""
    try:
        return field.prepare(raw)
    except Exception as error:
        if isinstance(error, SensoriumError) and not isinstance(error, BadFile | BadRaw):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadFile(said.replace(str(raw), "the item's file") if isinstance(raw, Path) else said) from error


def main() -> None:
    """Answers until nobody asks any more."""
    from safetensors.numpy import save

    _bound()
    taken, given = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    while head := taken.read(8):
        asked = taken.read(*struct.unpack("<Q", head))
        kind, answer = _tried(asked, save)
        given.write(_HEAD.pack(kind, len(answer)) + answer)
        given.flush()


def _tried(asked: bytes, save: Any) -> tuple[bytes, bytes]:
    try:
        field, raw = pickle.loads(asked)  # of the server, which is who started this
        arrays = told(field, raw)
        return _ARRAYS, save({name: np.ascontiguousarray(x) for name, x in arrays.items()})
    except Exception as error:
        kind = _BAD if isinstance(error, BadFile) else _MISSING if isinstance(error, MissingExtra) else _OTHER
        return kind, str(error).encode("utf-8", "backslashreplace")


def _bound() -> None:
    try:
        import resource
    except ImportError:  # a system that has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main()
