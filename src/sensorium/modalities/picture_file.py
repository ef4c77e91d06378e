"""Picture files, from strangers: limits before decoding, whole decoding, every failure a `BadFile`, and RGB at the end."""

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.limits import limits
from sensorium.modalities.raw import BadRaw

if TYPE_CHECKING:
    from PIL import Image as Pillow

T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Only these parsers of Pillow are ever called."""
BYTES = 5.5
"""Bytes of memory that a pixel may take: a picture at the limit of 50 million pixels stays below 300 MB."""
SCANS = 100
"""Scans that a progressive JPEG may have; each goes over the whole picture, encoders write some ten."""
BAND = 2**20
"""Pixels that are converted at once."""
ORIENTATION = 274
"""The EXIF tag that says how a picture has to be turned."""
_DECODER = {"WEBP": 14, "GIF": 2, "BMP": 1}
"""Bytes a pixel that a decoder holds beside the picture (measured): the canvases of an animation."""
_STRIP = 6
"""Bytes a pixel of a compressed TIFF in a single strip, of three channels of 16 bits."""


class _Timed(RawIOBase):
    """A file that is no longer read once decoding it takes too long: decoders ask for a file piece by piece."""

    def __init__(self, inner: BufferedIOBase):
        self._inner, self._seconds = inner, limits().seconds
        self._end = time.monotonic() + self._seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._end:
            raise BadFile(f"it took more than {self._seconds} s to decode")
        return self._inner.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._inner.close()
        super().close()


@dataclass(frozen=True)
class Facts:
    """What the header of a picture file says: its format, its pixels across and down, whether it moves, and whether its EXIF
    says to turn it."""

    format: str
    width: int
    height: int
    animated: bool
    turned: bool


def read(source: str | Path | bytes, near: int | None = None) -> "Pillow.Image":
    """A picture file as RGB, upright; `BadFile` where it is none, is cut short, or is larger than the limits.

    `near`: the side in pixels that will be made of it. A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size where that
    still has twice as many pixels a side.
    """
    return _opened(source, lambda picture, where, stream: decoded(picture, where, near, stream))


def facts(source: str | Path | bytes) -> Facts:
    """What the header says; no pixel is decoded. `BadFile` where the file is no picture."""
    return _opened(source, _facts)


def _facts(picture: "Pillow.Image", where: str, stream: _Timed) -> Facts:
    try:
        moves = bool(getattr(picture, "is_animated", False))  # the plugins for formats that cannot move do not have it
    except Exception:  # there is a second frame, though a damaged one; the first, which is what is read, may be whole
        moves = True
    turned = picture.getexif().get(ORIENTATION, 1) not in (0, 1)
    return Facts(str(picture.format), *picture.size, moves, turned)


def _opened(source: str | Path | bytes, use: Callable[["Pillow.Image", str, _Timed], T]) -> T:
    """What `use(picture, where, stream)` makes of an opened file. Whatever goes wrong becomes a `BadFile`."""
    from PIL import Image as Pillow

    where = f"a picture of {len(source)} bytes" if isinstance(source, bytes) else str(source)
    with _stream(source, where) as stream:
        try:
            picture = Pillow.open(stream, formats=FORMATS)  # type: ignore[arg-type]  # it reads, seeks and tells
            return use(picture, where, stream)
        except Pillow.UnidentifiedImageError as error:
            raise BadFile(f"{where}: not a picture in any of the formats {', '.join(FORMATS)}") from error
        except BadFile as error:
            raise error if str(error).startswith(where) else BadFile(f"{where}: {error}") from error
        except Exception as error:  # Pillow lets many types of exceptions through; none of them is our bug
            raise BadFile(f"{where}: {_cause(error)}") from error


def decoded(picture: "Pillow.Image", where: str, near: int | None, stream: _Timed | None = None) -> "Pillow.Image":
    """Decodes an opened file whole: RGB, upright. `stream`: where it is read from, if that is at hand."""
    check_size(picture.size, where, BadFile)
    try:
        full = picture.size
        if near is not None and picture.format == "JPEG":
            picture.draft(None, (2 * near, 2 * near))  # type: ignore[attr-defined]  # a JpegImageFile
        _check_memory(picture, full, stream)
        picture.load()
        if stream is not None and picture.format == "PNG" and _may_lack_rows(picture):
            _check_png(stream)
        return rgb(upright(picture))
    except SensoriumError as error:
        raise BadFile(f"{where}: {error}") from error
    except Exception as error:
        raise BadFile(f"{where}: {_cause(error)}") from error


def _stream(source: str | Path | bytes, where: str) -> _Timed:
    """An ordinary file, or bytes, as something to read from; it is never held whole, as it may be large."""
    try:
        if isinstance(source, bytes):
            size = len(source)
        elif not Path(source).is_file():
            path = Path(source)
            what = "a folder, not a file" if path.is_dir() else "not an ordinary file" if path.exists() else "no such file"
            raise BadFile(f"{where}: {what}")
        else:
            size = Path(source).stat().st_size
        if not size:
            raise BadFile(f"{where}: the file is empty (0 bytes)")
        if size > limits().picture_bytes:
            raise BadFile(f"{where}: {size} bytes are more than the limit of {limits().picture_bytes}")
        return _Timed(BytesIO(source) if isinstance(source, bytes) else open(source, "rb"))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BadFile(f"{where}: {_cause(error)}") from error


def check_size(size: tuple[int, int], where: str, error: type[SensoriumError]) -> None:
    """Refuses what would take too much memory, or is too long for its middle square to say anything of it."""
    width, height = size
    if width < 1 or height < 1:
        raise error(f"{where}: {width}×{height} pixels")
    most = limits()
    if width * height > most.pixels:
        raise error(f"{where}: {width}×{height} pixels are more than the limit of {most.pixels}; make it smaller first")
    if max(size) > most.aspect * min(size):
        raise error(f"{where}: {width}×{height} pixels: one side is more than {most.aspect} times the other; cut it first")


def _check_memory(picture: "Pillow.Image", full: tuple[int, int], stream: _Timed | None) -> None:
    """Refuses what takes more memory than RGB at the limit does. `full`: the size before a JPEG was set to be decoded smaller."""
    needed, most = _memory(picture, full, stream), BYTES * limits().pixels
    if needed > most:
        fit = int(full[0] * full[1] * most / needed)
        raise BadFile(
            f"{full[0]}×{full[1]} pixels of {picture.format} {picture.mode} would take {needed / 2**20:.0f} MB of memory: about "
            f"{fit} pixels of this kind are the limit; make it smaller first"
        )


def _memory(picture: "Pillow.Image", full: tuple[int, int], stream: _Timed | None) -> float:
    """Bytes that decoding and converting will take at most: Pillow's pixels, copies of them, and what the decoders hold."""
    own = {"1": 1, "L": 1, "P": 1}.get(picture.mode, 2 if picture.mode.startswith("I;16") else 4)
    turned = picture.getexif().get(ORIENTATION, 1) not in (0, 1)
    plain = picture.mode == "RGB" and "transparency" not in picture.info
    packed = picture.format == "TIFF" and any(tile[0] == "libtiff" for tile in picture.tile)  # type: ignore[attr-defined]
    bytes_a_pixel = (
        own * (2 if turned else 1) + (0 if plain else 4) + _DECODER.get(str(picture.format), 0) + (_STRIP if packed else 0)
    )
    needed = bytes_a_pixel * picture.width * picture.height
    if (packed or picture.format == "WEBP") and stream is not None:  # their decoders take the file whole
        needed += stream.seek(0, 2)
    if picture.format == "JPEG" and stream is not None and _scans(stream) > 1:  # its coefficients are kept, two bytes each
        layers = picture.layer  # type: ignore[attr-defined]  # (number, samples across, samples down, table)
        most = max(across for _, across, _, _ in layers) * max(down for _, _, down, _ in layers)
        needed += 2 * sum(across * down / most for _, across, down, _ in layers) * full[0] * full[1]
    return needed


def _scans(stream: _Timed) -> int:
    """The scans of a JPEG; `BadFile` where there are more than any encoder writes. What its segments hold is not looked at."""
    at = stream.tell()
    stream.seek(2)
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        stream.seek(max(0, int.from_bytes(head[2:], "big") - 2), 1)
    stream.seek(-4, 1)
    scans, last = 0, b""
    while block := stream.read(2**20):
        scans += (last + block).count(b"\xff\xda")
        last = block[-1:]
    stream.seek(at)
    if scans > SCANS:
        raise BadFile(f"{scans} scans are more than the limit of {SCANS} for a JPEG")
    return scans


def upright(picture: "Pillow.Image") -> "Pillow.Image":
    """Turned as its EXIF orientation says."""
    from PIL import ImageOps

    turned = picture.getexif().get(ORIENTATION, 1) not in (0, 1)
    return ImageOps.exif_transpose(picture) if turned else picture


def rgb(picture: "Pillow.Image") -> "Pillow.Image":
    """Any mode as RGB: transparency on white, 16-bit grey scaled (`Pillow.convert` would clip it).

    It is done in bands of rows, so that a large picture is never held in a third form.
    """
    from PIL import Image as Pillow

    mode = picture.mode
    if mode == "RGB" and "transparency" not in picture.info:
        return picture
    if mode.startswith("I") or mode == "F":
        _check_grey(picture)
    width, height = picture.size
    rows = max(1, BAND // width)
    if height <= rows:
        return _band(picture)
    out = Pillow.new("RGB", picture.size)
    for top in range(0, height, rows):
        out.paste(_band(picture.crop((0, top, width, min(top + rows, height)))), (0, top))
    return out


def _band(picture: "Pillow.Image") -> "Pillow.Image":
    from PIL import Image as Pillow

    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        most = 1.0 if mode == "F" else 65535
        grey = np.round(np.asarray(picture).astype(np.float64) * (255 / most)).astype(np.uint8)
        return Pillow.fromarray(grey).convert("RGB")
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        white = Pillow.new("RGB", picture.size, "white")
        white.paste(clear, mask=clear.getchannel("A"))
        return white
    return picture.convert("RGB")


def file_type() -> type:
    """The type of pictures that Pillow has opened but perhaps not decoded."""
    from PIL import ImageFile

    return ImageFile.ImageFile


def _check_grey(picture: "Pillow.Image") -> None:
    """16-bit numbers, or floats in [0, 1]; `BadRaw` for others."""
    most = 1.0 if picture.mode == "F" else 65535
    rows = max(1, BAND // picture.width)
    for top in range(0, picture.height, rows):
        band = np.asarray(picture.crop((0, top, picture.width, min(top + rows, picture.height))))
        low, high = band.min(), band.max()
        if not (low >= 0 and high <= most):  # also true of NaN
            raise BadRaw(f"grey values from {low:g} to {high:g}: expected 0 to {most:g}")


def _may_lack_rows(picture: "Pillow.Image") -> bool:
    """Rows that a PNG never held are zeros after decoding; interlaced ones lie between others, so these are always looked at."""
    last = picture.crop((0, picture.height - 1, *picture.size))
    return bool(picture.info.get("interlace")) or not np.asarray(last).any()


def _check_png(stream: _Timed) -> None:
    """Inflates the pixels and counts them: Pillow takes a PNG whose compressed stream ends early, but properly, for whole."""
    chunks = _chunks(stream)
    width, height, bits, colour, _, _, interlace = struct.unpack(">IIBBBBB", next(chunks)[1])
    per_row = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 1, 1)]
    if interlace:  # Adam7: (first column, first row, column step, row step)
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    expected = 0
    for x, y, dx, dy in passes:
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        expected += rows * (1 + (columns * per_row + 7) // 8) if columns > 0 and rows > 0 else 0
    inflate, got = zlib.decompressobj(), 0
    for name, body in chunks:
        while name == b"IDAT" and body and got < expected:
            got += len(inflate.decompress(body, 2**20))
            body = inflate.unconsumed_tail
    got += len(inflate.flush()) if got < expected else 0
    if got < expected:
        raise BadFile(f"cut short: it holds {got} of {expected} bytes of pixels")


def _chunks(stream: _Timed) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each chunk of a PNG; a large body comes in several pieces."""
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        left, name = int.from_bytes(head[:4], "big"), head[4:]
        while body := stream.read(min(left, 2**20)):
            yield name, body
            left -= len(body)
        stream.seek(4, 1)  # its checksum


def _cause(error: Exception) -> str:
    """What an exception of a library says, on one line; its type, where it says nothing."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
