"""Files as strangers have them, whole and broken, written by other means than the code that reads them."""

import struct
import zlib
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A u8 RGB picture without hard edges, so that lossy formats and resizing change it little."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    return np.stack([127 + 120 * np.sin(3 * x + 2 * y + p) for p in phases], -1).astype(np.uint8)


def png(width: int, height: int, rows: int) -> bytes:
    """A PNG whose compressed stream ends properly after `rows` rows, whatever its header says."""
    return _png(width, height, 0, b"\0" + bytes([200]) * (3 * width), rows)


def interlaced(width: int, height: int, missing: int = 0) -> bytes:
    """A grey PNG of value 7, written pass by pass as its specification says (Adam7), without its last `missing` rows."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = []
    for x, y, dx, dy in passes:
        columns = len(range(x, width, dx))
        rows += [b"\0" + b"\7" * (3 * columns) for _ in range(y, height, dy) if columns]
    return _png(width, height, 1, b"".join(rows[: len(rows) - missing]), 1)


def _png(width: int, height: int, interlace: int, pixels: bytes, times: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlace)
    body = zlib.compress(pixels * times)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def save(path: Path, picture: np.ndarray | Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


def as_bytes(picture: Image.Image, form: str, **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def sine(frequency: float, rate: int, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def sound(path: Path, samples: np.ndarray, rate: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def clip(form: str = "mp4", codec: str = "libx264", frames: int = 20, fps: int = 10, turn: int = 0, **options: str) -> bytes:
    """A video of 48×64: red grows by 12 a frame, and the left half is green.

    `turn`: degrees that a player has to turn it by, counterclockwise. `options` are those of the codec.
    """
    buffer = BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if turn:
            stream.set_display_rotation(turn)
        for i, picture in enumerate(moving(frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def moving(frames: int) -> np.ndarray:
    """The frames that `clip` encodes: u8[T 48 64 3]."""
    pictures = np.zeros((frames, 48, 64, 3), np.uint8)
    pictures[..., 0] = 12 * np.arange(frames, dtype=np.uint8)[:, None, None]
    pictures[:, :, :32, 1] = 200
    return pictures
