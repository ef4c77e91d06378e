"""Picture files, from strangers: limits before decoding, whole decoding, every failure a `BadFile`, and RGB at the end."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.modalities.raw import BadRaw

if TYPE_CHECKING:
    from PIL import Image as Pillow

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Only these parsers of Pillow are ever called."""
MOST_PIXELS = 80_000_000
MOST_ASPECT = 100
MOST_BYTES = 512 * 2**20


def read(source: str | Path | bytes, near: int | None = None) -> "Pillow.Image":
    """A picture file as RGB, upright; `BadFile` where it is none, is cut short, or is larger than the limits.

    `near`: the side in pixels that will be made of it. A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size where that
    still has twice as many pixels a side.
    """
    from PIL import Image as Pillow

    where = f"a picture of {len(source)} bytes" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else contents(Path(source), MOST_BYTES)
    if not data:
        raise BadFile(f"{where}: the file is empty (0 bytes)")
    try:
        picture = Pillow.open(BytesIO(data), formats=FORMATS)
    except Pillow.UnidentifiedImageError as error:
        raise BadFile(f"{where}: not a picture in any of the formats {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow lets many types of exceptions through; none of them is our bug
        raise BadFile(f"{where}: {_cause(error)}") from error
    return decoded(picture, where, near, data)


def decoded(picture: "Pillow.Image", where: str, near: int | None, data: bytes | None = None) -> "Pillow.Image":
    """Decodes an opened file whole: RGB, upright. `data` are its bytes, where they are at hand."""
    check_size(picture.size, where, BadFile)
    try:
        if near is not None and picture.format == "JPEG":
            picture.draft(None, (2 * near, 2 * near))  # type: ignore[attr-defined]  # a JpegImageFile
        picture.load()
        if data is not None and picture.format == "PNG" and _may_lack_rows(picture):
            _check_png(data)
        return rgb(upright(picture))
    except SensoriumError as error:
        raise BadFile(f"{where}: {error}") from error
    except Exception as error:
        raise BadFile(f"{where}: {_cause(error)}") from error


def contents(path: Path, most: int) -> bytes:
    """The bytes of an ordinary file of at most `most` bytes; else `BadFile`."""
    try:
        if not path.is_file():
            raise BadFile(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
        if (size := path.stat().st_size) > most:
            raise BadFile(f"{path}: {size} bytes are more than the limit of {most}")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BadFile(f"{path}: {_cause(error)}") from error


def check_size(size: tuple[int, int], where: str, error: type[SensoriumError]) -> None:
    """Refuses what would take too much memory, or is too long for its middle square to say anything of it."""
    width, height = size
    if width < 1 or height < 1:
        raise error(f"{where}: {width}×{height} pixels")
    if width * height > MOST_PIXELS:
        raise error(f"{where}: {width}×{height} pixels are more than the limit of {MOST_PIXELS}; make it smaller first")
    if max(size) > MOST_ASPECT * min(size):
        raise error(f"{where}: {width}×{height} pixels: one side is more than {MOST_ASPECT} times the other; cut it first")


def upright(picture: "Pillow.Image") -> "Pillow.Image":
    """Turned as its EXIF orientation says."""
    from PIL import ExifTags, ImageOps

    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(picture) if turned else picture


def rgb(picture: "Pillow.Image") -> "Pillow.Image":
    """Any mode as RGB: transparency on white, 16-bit grey scaled (`Pillow.convert` would clip it)."""
    from PIL import Image as Pillow

    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        return Pillow.fromarray(_grey(np.asarray(picture), mode)).convert("RGB")
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


def _grey(x: np.ndarray, mode: str) -> np.ndarray:
    """16-bit numbers, or floats in [0, 1], as u8."""
    most = 1.0 if mode == "F" else 65535
    low, high = x.min(), x.max()
    if not (low >= 0 and high <= most):
        raise BadRaw(f"grey values from {low:g} to {high:g}: expected 0 to {most:g}")
    return np.round(x.astype(np.float64) * (255 / most)).astype(np.uint8)


def _may_lack_rows(picture: "Pillow.Image") -> bool:
    """Rows that a PNG never held are zeros after decoding; interlaced ones lie between others, so these are always looked at."""
    last = picture.crop((0, picture.height - 1, *picture.size))
    return bool(picture.info.get("interlace")) or not np.asarray(last).any()


def _check_png(data: bytes) -> None:
    """Inflates the pixels and counts them: Pillow takes a PNG whose compressed stream ends early, but properly, for whole."""
    chunks = _chunks(data)
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


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each chunk of a PNG."""
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _cause(error: Exception) -> str:
    """What an exception of a library says, on one line; its type, where it says nothing."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
