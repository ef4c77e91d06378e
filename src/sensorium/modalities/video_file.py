"""Video files, from strangers: limits before decoding, no more decoded than is needed, every failure a `BadFile`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.modalities import picture_file, video_index
from sensorium.modalities.video_clock import Deadline
from sensorium.modalities.video_index import Index
from sensorium.modalities.video_open import File, InputContainer, VideoStream, at_hand, named, opened, pictures, sound

CODECS = (
    *("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg1video", "mpeg2video", "h263", "msmpeg4v2", "msmpeg4v3"),
    *("mjpeg", "gif", "prores", "dnxhd", "ffv1", "rawvideo", "theora"),
)
"""The decoders of FFmpeg that are let in."""
WORTH = 250
"""Seeking has to spare so many frames, and half of all, or the clip is decoded from its beginning to its end."""
SHARE = 5
"""A frame of a video may have 1 / `SHARE` of the pixels of a picture: by default 10 million, enough for 4K."""
Frame = UInt8[np.ndarray, "H W 3"]
Choose = Callable[[int], Sequence[int]]
Convert = Callable[[Frame], np.ndarray]


@dataclass(frozen=True)
class Chosen:
    """Some frames of a clip, in order: `frames[i]` is what was made of the one that stands `times[i]` seconds after the first.

    `total`: frames in the part of the clip that was looked at; `decoded`: as many of them were decoded.
    """

    frames: list[np.ndarray]
    times: list[float]
    total: int
    decoded: int


def read(source: File, choose: Choose, convert: Convert, seconds: float | None = None) -> Chosen:
    """The frames whose numbers `choose(how many there are)` gives, as `convert` makes them of RGB, upright.

    A frame is told as a change of the one before it, back to a key frame. Where it spares much, decoding goes from the key
    frame before each chosen frame only; else from the beginning to the end. The frames are the same. Only the chosen ones are
    converted, one at a time. `seconds`: frames from there on count for nothing. `BadFile` where the file is no video, is cut
    short, or has no frame, or takes longer than the limit.
    """
    where, source, deadline = named(source, "a video"), at_hand(source), Deadline.start()
    with opened(source, where, deadline) as container:
        index = video_index.of(container, _checked(container), deadline, seconds)
    planned = index.within(seconds)
    wanted = choose(planned)
    spared = planned - index.cost(wanted) if index.stamps else 0
    if spared >= max(WORTH, planned / 2):
        chosen = _seek(source, where, index, wanted, convert, planned, deadline)
        if chosen is not None:
            return chosen
    chosen = _decode(source, where, frozenset(wanted), convert, seconds, deadline)
    if chosen.total != planned:  # packets that are no frames of their own (halves of interlaced ones)
        chosen = _decode(source, where, frozenset(choose(chosen.total)), convert, seconds, deadline)
    return chosen


def measure(source: File) -> float:
    """The seconds of a video, by the times of its frames; it is gone through to its end, and not decoded."""
    deadline = Deadline.start()
    with opened(at_hand(source), named(source, "a video"), deadline) as container:
        return video_index.of(container, _checked(container), deadline).seconds


def has_sound(source: File) -> bool:
    """Whether there is a sound track, as the header says; `BadFile` where the file is no video."""
    with opened(at_hand(source), named(source, "a video"), Deadline.start()) as container:
        return sound(container) is not None


def _decode(
    source: str | Path | bytes,
    where: str,
    wanted: frozenset[int],
    convert: Convert,
    seconds: float | None,
    deadline: Deadline,
) -> Chosen:
    """From the beginning to the end."""
    frames: list[np.ndarray] = []
    times: list[float] = []
    total, most = 0, limits().frames
    with opened(source, where, deadline) as container:
        stream = _checked(container)
        rate = float(stream.average_rate or 25)
        first: float | None = None
        for number, frame in enumerate(container.decode(stream)):
            deadline.check()
            time = number / rate if frame.time is None else float(frame.time)
            first = time if first is None else first
            if number >= most:
                raise BadFile(f"more than {most} frames: cut it into parts first")
            if seconds is not None and time - first >= seconds:
                break
            total = number + 1
            if number in wanted:
                frames.append(convert(_upright(frame, number)))
                times.append(time - first)
        if not total:
            raise BadFile("no frame in it could be decoded")
    return Chosen(frames, times, total, total)


def _seek(
    source: str | Path | bytes,
    where: str,
    index: Index,
    wanted: Sequence[int],
    convert: Convert,
    total: int,
    deadline: Deadline,
) -> Chosen | None:
    """From the key frames on. None where a frame is not found at its time: then only decoding all tells which frame is which."""
    frames: list[np.ndarray] = []
    decoded, last = 0, index.stamps[0] - 1
    with opened(source, where, deadline) as container:
        stream = _checked(container)
        coming = container.decode(stream)
        for number in wanted:
            target, key = index.stamps[number], index.key_before(number)
            if last < key:
                container.seek(key, stream=stream)
                coming = container.decode(stream)
            for frame in coming:
                deadline.check()
                decoded += 1
                if frame.pts is None or frame.pts >= target:
                    break
            else:
                return None
            if frame.pts != target:
                return None
            frames.append(convert(_upright(frame, number)))
            last = target
    times = [index.time(number) - index.time(0) for number in wanted]
    return Chosen(frames, times, total, decoded)


def _upright(frame: Any, number: int) -> Frame:
    """RGB, turned as the file says (a telephone that was held upright); `BadFile` for a frame that is too large or damaged."""
    _check_size(frame.width, frame.height, f"frame {number}")
    if frame.is_corrupt:
        raise BadFile(f"frame {number} is damaged")
    picture = frame.to_ndarray(format="rgb24")
    quarters, rest = divmod(frame.rotation, 90)
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters % 4 and not rest else picture


def _checked(container: InputContainer) -> VideoStream:
    """The stream of pictures, once it passed the limits."""
    stream = pictures(container)
    if stream is None:
        raise BadFile("there are no pictures in it" + (", only sound" if sound(container) else ""))
    codec: Any = stream.codec_context  # None where FFmpeg does not know it
    if codec is None or codec.codec.canonical_name not in CODECS:
        name = "unknown" if codec is None else codec.codec.canonical_name
        raise BadFile(f"the codec is {name}; expected one of {', '.join(CODECS)}")
    _check_size(codec.width, codec.height, "its frames")
    return stream


def _check_size(width: int, height: int, where: str) -> None:
    """As for a picture, and no more pixels than a share of its limit: a decoder holds up to 16 frames beside the present one."""
    picture_file.check_size((width, height), where, BadFile)
    if width * height > (most := limits().pixels // SHARE):
        raise BadFile(f"{where}: {width}×{height} pixels are more than the limit of {most} in a video; make it smaller first")
