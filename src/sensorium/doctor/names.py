"""What a file's name promises beside what is in it, and files that do not come to be read."""

import codecs
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.data.health import Health
from sensorium.data.listing import Problem
from sensorium.doctor.finding import Finding, found
from sensorium.doctor.sounds import beginning

FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WAV": (".wav",),
    "FLAC": (".flac",),
    "Ogg": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AVI": (".avi",),
    "MP4": (".mp4", ".mov", ".m4v", ".m4a"),
    "Matroska": (".mkv", ".webm"),
    "Parquet": (".parquet",),
    "NPY": (".npy",),
}
"""What a file is -> the suffixes that say so, the usual one first."""
HEAD = 64


def format_of(head: bytes) -> str | None:
    """What a file is, by its first bytes; None where they are of none of `FORMATS`."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "MP4"
    starts = {
        **{b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"II*\0": "TIFF"},
        **{b"MM\0*": "TIFF", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"\x1a\x45\xdf\xa3": "Matroska", b"PAR1": "Parquet"},
        **{b"\x93NUMPY": "NPY", b"BM": "BMP"},
    }
    return next((name for start, name in starts.items() if head.startswith(start)), None)


def broken(problems: Sequence[Problem]) -> list[Finding]:
    """What could not be used, by its cause."""
    out = [found(_broken_kind(p), [p.path], p.cause) for p in problems]
    return list(dict.fromkeys(out))


def wrong_suffixes(files: Iterable[Path]) -> list[Finding]:
    """Files that are whole, but of another format than their name says."""
    out = []
    for file in files:
        suffix = file.suffix.lower()
        with file.open("rb") as stream:
            name = format_of(stream.read(HEAD))
        known = any(suffix in suffixes for suffixes in FORMATS.values())
        if name and known and suffix not in FORMATS[name]:
            out.append(found("wrong suffix", [str(file)], f"it is named {file.suffix}, but is {name}"))
    return out


def marked(files: Iterable[Path]) -> list[Finding]:
    """Files of captions that start with a byte order mark, which reading them takes away."""
    out = []
    for file in files:
        with file.open("rb") as stream:
            head = stream.read(3)
        if head == codecs.BOM_UTF8:
            out.append(found("byte order mark", [str(file)], "it starts with the bytes EF BB BF"))
        elif head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            out.append(found("byte order mark", [str(file)], "it is UTF-16"))
    return out


def alike_but_for_case(files: Iterable[Path]) -> list[Finding]:
    """Files whose paths differ in nothing but case."""
    by: dict[str, list[str]] = defaultdict(list)
    for file in sorted({str(file) for file in files}):
        by[file.casefold()].append(file)
    alike = [same for same in by.values() if len(same) > 1]
    return [found("names differ by case", same, " and ".join(Path(file).name for file in same)) for same in alike]


def unused(health: Health) -> list[Finding]:
    return [found("belongs to no item", [str(path)], "no rule makes it part of an item") for path in health.listing.unused]


def _broken_kind(p: Problem) -> str:
    """The kind of a problem, from a look at the file itself; of what lies inside another file (a tar), from its cause."""
    path = Path(p.path)
    if p.kind in ("manifest", "shard"):
        return "unclear"
    if p.kind == "folder" or path.is_dir():
        return "unreadable"
    if not path.is_file():
        return "unreadable" if path.exists() else _inside_kind(p.cause)
    if path.stat().st_size == 0:
        return "empty file"
    if p.kind == "text":
        return _text_kind(path)
    if p.kind == "audio" and _has_nan(path):
        return "NaN sound"
    return "unclear" if p.cause.startswith("ignored: ") else "unreadable"


def _inside_kind(cause: str) -> str:
    """The kind of a problem with something that is no file of its own, or is not there."""
    starts = {
        **{"not UTF-8": "not UTF-8", "not UTF-16": "not UTF-8", "a NUL": "NUL in text", "the file is empty": "empty file"},
        **{"no caption in it": "empty caption", "ignored: ": "unclear", "absent": "absent file", "No such": "absent file"},
        **{"no such": "absent file"},
    }
    return next((kind for start, kind in starts.items() if cause.startswith(start)), "unreadable")


def _text_kind(path: Path) -> str:
    if path.stat().st_size > limits().caption_bytes:
        return "unreadable"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return "not UTF-8"
    if "\0" in text:
        return "NUL in text"
    return "unclear" if text.strip() else "empty caption"


def _has_nan(path: Path) -> bool:
    """Whether a sound can be read, but is not made of numbers."""
    try:
        return not np.isfinite(beginning(path)[0]).all()
    except BadFile:
        return False
