"""Video files, from strangers: one container format at a time, limits before decoding, every failure a `BadFile`."""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from jaxtyping import UInt8

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.modalities import picture_file, video_container

if TYPE_CHECKING:
    from av.container import InputContainer
else:
    InputContainer = Any

CODECS = (
    *("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg1video", "mpeg2video", "h263", "msmpeg4v2", "msmpeg4v3"),
    *("mjpeg", "gif", "prores", "dnxhd", "ffv1", "rawvideo", "theora"),
)
"""The decoders of FFmpeg that are let in."""
MOST_FRAMES = 1_000_000
"""Frames of a file that are gone through: some nine hours."""
Frame = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Chosen:
    """Some frames of a clip, in order: `frames[i]` is what was made of the one that stands `times[i]` seconds after the first.

    `total`: frames in the part of the clip that was looked at.
    """

    frames: list[np.ndarray]
    times: list[float]
    total: int


def read(
    source: str | Path | bytes,
    choose: Callable[[int], Sequence[int]],
    convert: Callable[[Frame], np.ndarray],
    seconds: float | None = None,
) -> Chosen:
    """The frames whose numbers `choose(how many there are)` gives, as `convert` makes them of RGB, upright.

    Every frame is decoded, as each is told as a change of the one before it; only the chosen ones are converted, one at a
    time. `seconds`: frames from there on count for nothing. `BadFile` where the file is no video, is cut short, or has no frame.
    """
    with _opened(source) as container:
        planned = _count(container, seconds)
    chosen = _decode(source, frozenset(choose(planned)), convert, seconds)
    if chosen.total != planned:  # packets that are no frames of their own (hidden ones of VP8, halves of interlaced ones)
        chosen = _decode(source, frozenset(choose(chosen.total)), convert, seconds)
    return chosen


def named(source: str | Path | bytes) -> str:
    """How an error calls the file."""
    return f"a video of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def _decode(
    source: str | Path | bytes, wanted: frozenset[int], convert: Callable[[Frame], np.ndarray], seconds: float | None
) -> Chosen:
    frames: list[np.ndarray] = []
    times: list[float] = []
    total = 0
    with _opened(source) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        first: float | None = None
        for number, frame in enumerate(container.decode(video=0)):
            time = number / rate if frame.time is None else float(frame.time)
            first = time if first is None else first
            if number >= MOST_FRAMES:
                raise BadFile(f"more than {MOST_FRAMES} frames: cut it into parts first")
            if seconds is not None and time - first >= seconds:
                break
            total = number + 1
            if number in wanted:
                picture_file.check_size((frame.width, frame.height), f"frame {number}", BadFile)
                if frame.is_corrupt:
                    raise BadFile(f"frame {number} is damaged")
                frames.append(convert(_upright(frame)))
                times.append(time - first)
        if not total:
            raise BadFile("no frame in it could be decoded")
    return Chosen(frames, times, total)


def _count(container: InputContainer, seconds: float | None) -> int:
    """Frames, as far as one can tell without decoding: the packets whose time is in the window."""
    times = []
    for packet in container.demux(video=0):
        if packet.size and not packet.is_discard:
            stamp = packet.dts if packet.pts is None else packet.pts
            times.append(0.0 if stamp is None or packet.time_base is None else float(stamp * packet.time_base))
        if len(times) > MOST_FRAMES:
            raise BadFile(f"more than {MOST_FRAMES} frames: cut it into parts first")
    if not times:
        raise BadFile("the header is there, but there is no frame in it")
    return len(times) if seconds is None else max(1, sum(time - min(times) < seconds for time in times))


def _upright(frame: Any) -> Frame:
    """RGB, turned as the file says (a telephone that was held upright)."""
    picture = frame.to_ndarray(format="rgb24")
    quarters, rest = divmod(frame.rotation, 90)
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters % 4 and not rest else picture


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[InputContainer]:
    """A container with a stream that passed the limits. Whatever goes wrong while it is open becomes a `BadFile`."""
    av = need("av", "media", "reading video")
    try:
        with _bytes(source) as stream:
            form = video_container.check(stream)
            # The format is given, so that no other parser is tried; a file that names other files does not get them.
            with av.open(stream, format=form, io_open=_refuse, options={"protocol_whitelist": "none"}) as container:
                _check_stream(container)
                yield container
    except SensoriumError as error:
        if isinstance(error, BadFile) and not str(error).startswith(named(source)):
            raise BadFile(f"{named(source)}: {error}") from error
        raise
    except (av.FFmpegError, OSError, RuntimeError, ValueError, OverflowError, MemoryError, struct.error) as error:
        cause = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise BadFile(f"{named(source)}: {cause}") from error


def _bytes(source: str | Path | bytes) -> BufferedIOBase:
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


def _check_stream(container: InputContainer) -> None:
    if not container.streams.video:
        raise BadFile("there are no pictures in it" + (", only sound" if container.streams.audio else ""))
    codec: Any = container.streams.video[0].codec_context  # None where FFmpeg does not know it
    if codec is None or codec.codec.canonical_name not in CODECS:
        name = "unknown" if codec is None else codec.codec.canonical_name
        raise BadFile(f"the codec is {name}; expected one of {', '.join(CODECS)}")
    picture_file.check_size((codec.width, codec.height), "its frames", BadFile)


def _refuse(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise PermissionError(f"it asks for another file, {url}, which it does not get")
