"""Sound files, from strangers: limits before reading, only the part that is needed, every failure a `BadFile`."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile, SensoriumError, need

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
"""The formats of libsndfile that are let in."""
MOST_CHANNELS = 64
MOST_RATE = 1_000_000
MOST_NUMBERS = 2**28
"""frames × channels that are read at once: 1 GB of f32."""
BLOCK = 2**18
MOST_OGG_PAGE = 27 + 255 + 255 * 255
FAILURES = (OSError, RuntimeError, ValueError, OverflowError, MemoryError, struct.error)
"""What soundfile and the operating system raise over a bad file, beside libsndfile's own errors."""


def read(source: str | Path | bytes, seconds: float) -> tuple[Float[np.ndarray, "N C"], int]:
    """The first `seconds` of a sound file and its rate in Hz; `BadFile` where it is none, or is cut short before that."""
    with _opened(source) as file:
        frames = min(file.frames, int(np.ceil(seconds * file.samplerate)))
        if frames * file.channels > MOST_NUMBERS:
            raise BadFile(f"{named(source)}: {frames} frames of {file.channels} channels are more than the limit of 2^28 numbers")
        samples = file.read(frames, dtype="float32", always_2d=True)
        _check_length(source, file, len(samples), frames)
        return samples, file.samplerate


def measure(source: str | Path | bytes) -> float:
    """The seconds of a sound file, decoded to its end; `BadFile` where it is empty, broken, cut short or holds NaN."""
    with _opened(source) as file:
        frames = 0
        most = max(1, BLOCK // file.channels)
        while len(block := file.read(most, dtype="float32", always_2d=True)):
            if not np.isfinite(block).all():
                raise BadFile(f"{named(source)}: NaN or infinite samples after frame {frames}")
            frames += len(block)
        if not frames:
            raise BadFile(f"{named(source)}: the sound is empty (no samples)")
        _check_length(source, file, frames, file.frames)
        return frames / file.samplerate


def duration(source: str | Path | bytes) -> float:
    """The seconds of a sound file as its header says; nothing is decoded."""
    with _opened(source) as file:
        return file.frames / file.samplerate


def named(source: str | Path | bytes) -> str:
    """How an error calls the file."""
    return f"a sound file of {len(source)} bytes" if isinstance(source, bytes) else str(source)


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[Any]:
    """A soundfile.SoundFile that passed the limits. Whatever goes wrong while it is open becomes a `BadFile`."""
    soundfile = need("soundfile", "media", "reading sound")
    try:
        with _bytes(source) as stream:
            _check_end(stream)
            with soundfile.SoundFile(stream) as file:
                _check_header(file)
                yield file
    except BadFile as error:
        raise error if str(error).startswith(named(source)) else BadFile(f"{named(source)}: {error}") from error
    except SensoriumError:
        raise
    except soundfile.LibsndfileError as error:
        cause = error.error_string.strip().rstrip(".")
        unknown = "Format not recognised" in cause
        cause = f"not a sound in any of the formats {', '.join(FORMATS)}" if unknown else cause
        raise BadFile(f"{named(source)}: {cause}") from error
    except FAILURES as error:
        raise BadFile(f"{named(source)}: {' '.join(str(error).split()) or type(error).__name__}") from error


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


def _check_header(file: Any) -> None:
    if file.format not in FORMATS:
        raise BadFile(f"the format is {file.format}; expected one of {', '.join(FORMATS)}")
    if not (1 <= file.channels <= MOST_CHANNELS and 1 <= file.samplerate <= MOST_RATE):
        raise BadFile(f"{file.channels} channels at {file.samplerate} Hz: at most {MOST_CHANNELS} at {MOST_RATE} are read")


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


def _check_length(source: str | Path | bytes, file: Any, got: int, expected: int) -> None:
    """Whether as many frames came as the header promised; the headers of MP3 may be off by a few frames of the codec."""
    slack = 4 * 1152 + expected // 100 if file.format == "MP3" else 0
    if got < expected - slack:
        raise BadFile(f"{named(source)}: cut short: {got} of {expected} samples could be decoded")
