"""Sound files, from strangers: limits before reading, only the part that is needed, every failure a `BadFile`."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.core.limits import limits
from sensorium.modalities import sound_track, video_container
from sensorium.modalities.sound_block import BLOCK, Block, Sound
from sensorium.modalities.sound_track import NoSound as NoSound
from sensorium.modalities.video_clock import Deadline
from sensorium.modalities.video_open import File, at_hand, named, stream_of

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
"""The formats of libsndfile that are let in; for AAC, M4A and the sound tracks of videos see `sound_track`."""
MOST_OGG_PAGE = 27 + 255 + 255 * 255
ENDLESS = 2**62
FAILURES = (OSError, RuntimeError, ValueError, OverflowError, MemoryError, struct.error)
"""What soundfile and the operating system raise over a bad file, beside libsndfile's own errors."""


@contextmanager
def opened(source: File) -> Iterator[Sound]:
    """A sound file, or the sound track of a video, that passed the limits and is read block by block.

    Whatever goes wrong while it is open becomes a `BadFile`: no sound, cut short (as far as it is read), too slow to decode.
    """
    where, source, deadline = called(source), at_hand(source), Deadline.start()
    try:
        with stream_of(source) as stream:
            head = stream.read(12)
    except (BadFile, OSError, ValueError) as error:
        raise BadFile(f"{where}: {' '.join(str(error).split())}") from error
    if video_container.is_container(head):
        with sound_track.open_track(source, where, deadline) as sound:
            yield sound
    else:
        with _sndfile(source, where, deadline) as sound:
            yield sound


def measure(source: File) -> float:
    """The seconds of a sound file, decoded to its end; `BadFile` where it is empty, broken, cut short or holds NaN."""
    with opened(source) as sound:
        frames = 0
        for block, _ in sound.blocks(0, ENDLESS):
            if not np.isfinite(block).all():
                raise BadFile(f"{called(source)}: NaN or infinite samples after frame {frames}")
            frames += len(block)
        if not frames:
            raise BadFile(f"{called(source)}: the sound is empty (no samples)")
        return frames / sound.rate


def duration(source: File) -> float:
    """The seconds of a sound file as its header says; nothing is decoded."""
    with opened(source) as sound:
        return sound.frames / sound.rate


def called(source: File) -> str:
    """How an error calls the file."""
    return named(source, "a sound file")


@contextmanager
def _sndfile(source: str | Path | bytes, where: str, deadline: Deadline) -> Iterator[Sound]:
    """What libsndfile reads."""
    soundfile = need("soundfile", "media", "reading sound")
    try:
        with stream_of(source) as stream:
            _check_end(stream)
            with soundfile.SoundFile(stream) as file:
                _check_header(file)
                yield Sound(
                    file.samplerate, file.frames, file.channels, lambda first, count: _blocks(file, first, count, deadline)
                )
    except BadFile as error:
        raise error if str(error).startswith(where) else BadFile(f"{where}: {error}") from error
    except SensoriumError:
        raise
    except soundfile.LibsndfileError as error:
        cause = error.error_string.strip().rstrip(".")
        unknown = "Format not recognised" in cause
        cause = f"not a sound in any of the formats {', '.join(FORMATS)}, M4A, AAC" if unknown else cause
        raise BadFile(f"{where}: {cause}") from error
    except FAILURES as error:
        raise BadFile(f"{where}: {' '.join(str(error).split()) or type(error).__name__}") from error


def _blocks(file: Any, first: int, count: int, deadline: Deadline) -> Iterator[Block]:
    promised, got = max(0, min(file.frames - first, count)), 0
    file.seek(min(first, file.frames))
    most = max(1, BLOCK // file.channels)
    while got < count and len(block := file.read(min(most, count - got), dtype="float32", always_2d=True)):
        deadline.check()
        got += len(block)
        yield block, True
    _check_length(file, got, promised)


def _check_header(file: Any) -> None:
    if file.format not in FORMATS:
        raise BadFile(f"the format is {file.format}; expected one of {', '.join(FORMATS)}")
    most = limits()
    if not (1 <= file.channels <= most.channels and 1 <= file.samplerate <= most.rate):
        raise BadFile(f"{file.channels} channels at {file.samplerate} Hz: at most {most.channels} at {most.rate} are read")


def _check_end(stream: BufferedIOBase) -> None:
    """Compares headers of WAV and Ogg with the length of the file: libsndfile reads one that is cut short as if it were whole."""
    head = stream.read(12)
    if head[:4] in (b"RIFF", b"RIFX") and head[8:] == b"WAVE":
        _check_wav(stream, "<" if head[:4] == b"RIFF" else ">")
    elif head[:4] == b"OggS":
        size = stream.seek(0, 2)
        stream.seek(max(0, size - MOST_OGG_PAGE))
        tail = stream.read()
        page = tail[tail.rfind(b"OggS") :]
        if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
            raise BadFile("cut short: its last page is not whole")
    stream.seek(0)


def _check_wav(stream: BufferedIOBase, order: str) -> None:
    while len(chunk := stream.read(8)) == 8:
        size = struct.unpack(order + "I", chunk[4:])[0]
        if chunk[:4] == b"data":
            at = stream.tell()
            there = stream.seek(0, 2) - at
            if there < size < 0x7FFFF000:  # larger ones stand for "unknown": the file was written to a pipe
                raise BadFile(f"cut short: {there} of {size} bytes of sound are there")
            return
        stream.seek(size + size % 2, 1)


def _check_length(file: Any, got: int, expected: int) -> None:
    """Whether as many frames came as the header promised; the headers of MP3 may be off by a few frames of the codec."""
    slack = 4 * 1152 + expected // 100 if file.format == "MP3" else 0
    if got < expected - slack:
        raise BadFile(f"cut short: {got} of {expected} samples could be decoded")
