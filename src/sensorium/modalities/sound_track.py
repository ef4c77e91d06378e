"""The sound track of a video, on the clock of its frames; and sounds in containers that hold nothing else (M4A, AAC)."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.modalities import video_container
from sensorium.modalities.sound_block import Block, Sound, gap
from sensorium.modalities.video_clock import Deadline
from sensorium.modalities.video_open import AudioStream, InputContainer, opened, pictures, sound

CODECS = ("aac", "mp3", "opus", "vorbis", "flac", "alac", "ac3")
"""The decoders of FFmpeg that are let in, beside those of plain PCM."""
EARLIER = 0.5
"""Seconds before the wanted part where decoding begins: the frames of AAC and Opus need those before them."""
SLACK = 0.02
"""Seconds by which the time of a frame may be off (Matroska rounds to 1 ms) before it is taken for a gap."""


class NoSound(BadFile):
    """A video without a sound track: whoever reads videos for their sound wants to leave it out, not to call it broken."""


@contextmanager
def open_track(source: str | Path | bytes, where: str, deadline: Deadline) -> Iterator[Sound]:
    """The first sound track. Sample 0 sounds with the first frame of the pictures, where there are any: a track that begins
    later is preceded by a gap, what sounds before is left out. `NoSound` where there is none, `BadFile` for what cannot be read.
    """
    with opened(source, where, deadline) as container:
        stream = sound(container)
        if stream is None:
            raise NoSound("there is no sound track in it")
        _check(stream)
        zero = _zero(container, stream)
        rate, channels = stream.rate, stream.channels
        frames = max(0, round((_end(container, stream, deadline) - zero) * rate))

        def blocks(first: int, count: int) -> Iterator[Block]:
            placed = _placed(container, stream, zero, first, deadline)
            return _filled(placed, first, first + count, channels)

        yield Sound(rate, frames, channels, blocks)


def _filled(placed: Iterator[tuple[int, Float[np.ndarray, "N C"]]], first: int, end: int, channels: int) -> Iterator[Block]:
    """Samples `first` to `end` of pieces that know their places, with gaps between them filled."""
    at = first
    for start, samples in placed:
        if start > at:
            yield from gap(min(start, end) - at, channels)
            at = min(start, end)
        part = samples[max(0, at - start) : max(0, end - start)]
        if len(part):
            yield part, True
            at += len(part)
        if at >= end:
            return


def _placed(
    container: InputContainer, stream: AudioStream, zero: Fraction, first: int, deadline: Deadline
) -> Iterator[tuple[int, Float[np.ndarray, "N C"]]]:
    """(number of its first sample, samples) of each decoded piece, from somewhat before `first` on."""
    from av.audio.resampler import AudioResampler

    rate = stream.rate
    floats = AudioResampler(format="fltp", layout=stream.layout, rate=rate, frame_size=0)
    early = zero + Fraction(first, rate) - Fraction(EARLIER)
    base = stream.time_base or Fraction(1, rate)
    if early > (stream.start_time or 0) * base:
        container.seek(int(early / base), stream=stream)
    following: int | None = None
    for frame in container.decode(stream):
        deadline.check()
        told = None if frame.pts is None else round((frame.pts * (frame.time_base or base) - zero) * rate)
        if told is None and following is None:
            told = 0
        if told is not None and (following is None or abs(told - following) > SLACK * rate):
            following = told
        assert following is not None
        for piece in floats.resample(frame):
            samples = piece.to_ndarray().T
            yield following, samples
            following += len(samples)


def _check(stream: AudioStream) -> None:
    codec: Any = stream.codec_context  # None where FFmpeg does not know it
    name = "unknown" if codec is None else codec.codec.canonical_name
    if name not in CODECS and not name.startswith("pcm_"):
        raise BadFile(f"the codec of its sound is {name}; expected PCM or one of {', '.join(CODECS)}")
    most = limits()
    if not (1 <= stream.channels <= most.channels and 1 <= stream.rate <= most.rate):
        raise BadFile(f"{stream.channels} channels at {stream.rate} Hz: at most {most.channels} at {most.rate} are read")


def _zero(container: InputContainer, stream: AudioStream) -> Fraction:
    """The time of sample 0: that of the first frame, or of the first sample where there are no pictures."""
    leading = pictures(container) or stream
    return Fraction(leading.start_time or 0) * (leading.time_base or 1)


def _end(container: InputContainer, stream: AudioStream, deadline: Deadline) -> Fraction:
    """The time at which the track ends, as its header says; of AAC without a container, as its frames count."""
    base = stream.time_base or Fraction(1)
    if container.format.name == video_container.ADTS:
        total = 0
        for packet in container.demux(stream):
            deadline.check()
            total += packet.duration or 0
        container.seek(0, stream=stream)
        return total * base
    if stream.duration is not None:
        return ((stream.start_time or 0) + stream.duration) * base
    return Fraction((container.start_time or 0) + (container.duration or 0), 1_000_000)
