"""A note within an ordinary file, put there and read back: PNG, GIF, WAV and CSV by their bytes, MP4 by PyAV.

Whatever else shows such files shows them as before. The note is JSON in ASCII.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.modalities import video_open
from sensorium.modalities.video_clock import Deadline

Note = Mapping[str, Any]
"""What is said, as JSON has it; `"software"` is what made the file."""
LOOKED = 1 << 26
"""Bytes of a file that are looked at: the note of a sound stands after its samples."""
SOFTWARE = "Sensorium"
_PNG = b"\x89PNG\r\n\x1a\n"


def text_of(note: Note) -> str:
    return json.dumps(note, allow_nan=False)


def in_png(content: bytes, note: Note, description: str = "") -> bytes:
    """A PNG with international text chunks after its head (PNG 1.2, 4.2.3.3): `sensorium`, and what viewers show."""
    words = {"Software": str(note["software"]), "Description": description, "sensorium": text_of(note)}
    chunks = [_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()) for key, text in words.items() if text]
    after = len(_PNG) + 25  # the head is the first chunk, and always as long
    return content[:after] + b"".join(chunks) + content[after:]


def in_gif(content: bytes, note: Note) -> bytes:
    """A GIF with a comment before its first frame (GIF89a, 24)."""
    said, start = text_of(note).encode(), _blocks(content)
    blocks = [said[i : i + 255] for i in range(0, len(said), 255)]
    comment = b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return content[:start] + comment + content[start:]


def in_wav(content: bytes, note: Note) -> bytes:
    """A WAV with a list of facts after its samples: what made it, and the note as its comment (RIFF, LIST INFO)."""
    facts = b"INFO" + _fact(b"ISFT", str(note["software"])) + _fact(b"ICMT", text_of(note))
    whole = content[8:] + b"LIST" + struct.pack("<I", len(facts)) + facts
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def in_csv(content: bytes, note: Note) -> bytes:
    """A table after a line that begins with #, which our reader passes over (and others, when told that # begins a comment)."""
    return f"# {text_of(note)}\n".encode() + content


def note_of(path: Path | str) -> dict[str, Any]:
    """The note in a file; `BadFile` where there is none of ours."""
    try:
        with video_open.stream_of(path) as stream:
            content = stream.read(LOOKED)
        said = _found(content, path)
    except BadFile as error:
        text = str(error)
        raise BadFile(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except (ValueError, struct.error, IndexError) as error:  # cut short, or not what it begins as
        raise BadFile(f"{path}: no whole file of its kind, or a note that is none: {error}") from error
    if not isinstance(said, dict) or not str(said.get("software", "")).startswith(SOFTWARE):
        raise BadFile(f"{path}: it does not say how it was made, or was not made by {SOFTWARE}")
    return said


def _found(content: bytes, path: Path | str) -> Any:
    """What stands where the note would be, None where nothing does."""
    text: bytes | str | None = None
    if content.startswith(_PNG):
        start = b"sensorium\0\0\0\0\0"
        text = next((data[len(start) :] for kind, data in _chunks(content) if kind == b"iTXt" and data.startswith(start)), None)
    elif content[:3] == b"GIF":
        text = _comment(content)
    elif content[:4] == b"RIFF":
        text = _facts(content).get(b"ICMT", b"").rstrip(b"\0")
    elif content[4:8] == b"ftyp":
        with video_open.opened(str(path), str(path), Deadline.start()) as container:
            text = container.metadata.get("comment")
    elif content[:3] == b"# {":
        text = content[2:].partition(b"\n")[0]
    elif content[:1] == b"{":
        text = content
    return json.loads(text) if text else None


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those before the picture."""
    at = len(_PNG)
    while at + 8 <= len(content) and content[at + 4 : at + 8] != b"IDAT":
        (size,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        at += 12 + size


def _blocks(content: bytes) -> int:
    """Where the blocks of a GIF begin: after its head and the colours that all frames share."""
    return 13 + (3 << (content[10] % 8 + 1) if content[10] & 0x80 else 0)


def _comment(content: bytes) -> bytes:
    """The first comment before a frame."""
    at = _blocks(content)
    while content[at : at + 1] == b"!":
        kind, at, data = content[at + 1], at + 2, b""
        while size := content[at]:
            data += content[at + 1 : at + 1 + size]
            at += 1 + size
        if kind == 0xFE:
            return data
        at += 1
    return b""


def _fact(name: bytes, text: str) -> bytes:
    data = text.encode() + b"\0"
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _facts(content: bytes) -> dict[bytes, bytes]:
    """What the lists of a RIFF file hold, by name."""
    out: dict[bytes, bytes] = {}
    for name, data in _riff(content[12:]):
        if name == b"LIST" and data[:4] == b"INFO":
            out |= dict(_riff(data[4:]))
    return out


def _riff(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        (size,) = struct.unpack_from("<I", content, at + 4)
        yield content[at : at + 4], content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
