"""Containers of video, told by their first bytes, and whether a file is as long as it says that it is.

FFmpeg reads one that is cut short as if it were whole, or finds no frame in it and says nothing.
"""

import struct
from io import BufferedIOBase

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits

FORMATS = {"mov": "MP4, MOV and M4V", "matroska": "WebM and MKV", "avi": "AVI", "gif": "GIF"}
"""The parsers of FFmpeg that are ever called, and what they read."""
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""What an MP4 or MOV file can begin with."""
ADTS = "aac"
"""AAC without a container: frames one after another, each with its length."""
SEGMENT = 0x18538067
MOST_BOXES = 100_000


def check(stream: BufferedIOBase) -> str:
    """The name of the format, once the file is known to be whole as far as its headers tell; else `BadFile`."""
    head = stream.read(12)
    size = stream.seek(0, 2)
    stream.seek(0)
    if head[4:8] in BOXES:
        _check_boxes(stream, size)
        form = "mov"
    elif head[:4] == b"\x1aE\xdf\xa3":
        _check_segment(stream, size)
        form = "matroska"
    elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
        _expect(size, 8 + struct.unpack("<I", head[4:8])[0])
        form = "avi"
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        stream.seek(max(0, size - 64))
        if not stream.read().rstrip(b"\0").endswith(b";"):
            raise BadFile("cut short: the mark of its end is missing")
        form = "gif"
    elif is_adts(head):
        _check_adts(stream, size)
        form = ADTS
    else:
        raise BadFile(f"not a video in any of the formats {', '.join(FORMATS.values())}")
    stream.seek(0)
    return form


def is_container(head: bytes) -> bool:
    """Whether a file that begins so is one that may hold a sound track, or AAC alone."""
    return head[4:8] in BOXES or head[:4] == b"\x1aE\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or is_adts(head)


def is_adts(head: bytes) -> bool:
    """Twelve set bits and a layer of 0, which MP3 never has (ISO 13818-7, section 6.2)."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _check_adts(stream: BufferedIOBase, size: int) -> None:
    """Each frame tells its length in 13 bits (ISO 13818-7, table 9)."""
    at, left = 0, limits().frames
    while at < size:
        if not (left := left - 1):
            raise BadFile(f"more than {limits().frames} frames of AAC: cut it into parts first")
        stream.seek(at)
        header = stream.read(7)
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5 if len(header) == 7 else 7
        if len(header) == 7 and (not is_adts(header) or length < 7):
            raise BadFile(f"no frame of AAC at byte {at}: the file is damaged")
        at += length
        _expect(size, at)


def _check_boxes(stream: BufferedIOBase, size: int) -> None:
    """ISO 14496-12, section 4.2: each box tells its length, and a `moov` tells of the frames."""
    at, names = 0, set()
    for _ in range(MOST_BOXES):
        stream.seek(at)
        header = stream.read(16)
        if len(header) < 8:
            break
        length, name = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        names.add(name)
        if length == 0:  # to the end of the file
            break
        if length < 8:
            raise BadFile(f"a box of {length} bytes at {at}: the file is damaged")
        at += length
        _expect(size, at)
    if b"moov" not in names:
        raise BadFile("cut short: there is no 'moov' box in it, which tells where the frames are")


def _check_segment(stream: BufferedIOBase, size: int) -> None:
    """RFC 8794, sections 4 to 6: after the header comes a segment with its length; all ones stand for an unknown one."""
    for _ in range(2):
        identity = _number(stream, keep_marker=True)[0]
        length, unknown = _number(stream, keep_marker=False)
        if unknown:
            return
        end = stream.tell() + length
        _expect(size, end)
        if identity == SEGMENT:
            return
        stream.seek(end)


def _number(stream: BufferedIOBase, keep_marker: bool) -> tuple[int, bool]:
    """A number of 1 to 8 bytes, as many as its first byte has leading zeros and one; and whether all its bits are set."""
    first = stream.read(1)
    length = 9 - first[0].bit_length() if first and first[0] else 9
    rest = stream.read(length - 1)
    if length > 8 or len(rest) < length - 1:
        raise BadFile("cut short: its header is not whole")
    most = (1 << (7 * length)) - 1
    whole = int.from_bytes(first + rest, "big")
    value = whole & most
    return (whole if keep_marker else value), value == most


def _expect(size: int, expected: int) -> None:
    if size < expected:
        raise BadFile(f"cut short: {size} of {expected} bytes are there")
