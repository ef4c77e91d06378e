"""Opening containers of video and sound from strangers: one format at a time, and every failure a `BadFile`."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.core.protocols import Stored
from sensorium.modalities import video_container
from sensorium.modalities.video_clock import Deadline

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream
else:
    AudioStream = InputContainer = VideoStream = Any

__all__ = ["AudioStream", "File", "InputContainer", "VideoStream", "at_hand", "named", "opened", "pictures", "sound", "stream_of"]

File = str | Path | bytes | Stored
"""A path, the bytes of a file, or a file that lies inside something else."""


@contextmanager
def opened(source: str | Path | bytes, where: str, deadline: Deadline) -> Iterator[InputContainer]:
    """A container of an allowed format. Whatever goes wrong while it is open becomes a `BadFile` that starts with `where`."""
    av = need("av", "media", "reading video")
    try:
        with stream_of(source) as stream:
            form = video_container.check(stream)
            # The format is given, so that no other parser is tried; a file that names other files does not get them.
            options = {"protocol_whitelist": "none"}
            with av.open(_Watched(stream, deadline), format=form, io_open=_refuse, options=options) as container:
                yield container
    except SensoriumError as error:
        if isinstance(error, BadFile) and not str(error).startswith(where):
            raise type(error)(f"{where}: {error}") from error
        raise
    except (av.FFmpegError, OSError, RuntimeError, ValueError, OverflowError, MemoryError, struct.error) as error:
        cause = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise BadFile(f"{where}: {cause}") from error


def named(source: File, what: str) -> str:
    """How an error calls the file."""
    return f"{what} of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def at_hand(source: File) -> str | Path | bytes:
    """A path or the bytes: what lies inside something else is read, once."""
    return source.read() if isinstance(source, Stored) else source


def stream_of(source: str | Path | bytes) -> BufferedIOBase:
    """The file, open for reading; `BadFile` where there is none, or nothing in it."""
    if isinstance(source, bytes):
        if not source:
            raise BadFile("the file is empty (0 bytes)")
        return BytesIO(source)
    path = Path(source)
    if not path.is_file():
        raise BadFile("a folder, not a file" if path.is_dir() else "no such file")
    if path.stat().st_size == 0:
        raise BadFile("the file is empty (0 bytes)")
    return path.open("rb")


def pictures(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures; the cover of a record is none."""
    from av.stream import Disposition

    moving = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
    return next(moving, None)


def sound(container: InputContainer) -> AudioStream | None:
    """The first stream of sound."""
    return next(iter(container.streams.audio), None)


class _Watched:
    """A file whose reading ends when the time is over: a demuxer that searches through garbage does nothing but read."""

    def __init__(self, stream: BufferedIOBase, deadline: Deadline):
        self.seek, self.tell = stream.seek, stream.tell
        self._read, self._deadline = stream.read, deadline

    def read(self, size: int) -> bytes:
        self._deadline.check()
        return self._read(size)


def _refuse(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise PermissionError(f"it asks for another file, {url}, which it does not get")
