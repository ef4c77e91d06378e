"""Videos with a sound track, several groups of pictures, any start and any times of their frames; written with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np

RATE = 48000


def numbered(i: int) -> np.ndarray:
    """A small grey picture that shows the bits of a number, the lowest on the left, in ten bars: u8[32 80 3]."""
    bits = np.array([i >> k & 1 for k in range(10)], np.uint8)
    return np.broadcast_to((40 + 170 * bits).repeat(8)[None, :, None], (32, 80, 3)).copy()


def number_of(picture: np.ndarray) -> int:
    """The number that `numbered` wrote, of any size."""
    width = picture.shape[1]
    middles = ((np.arange(10) + 0.5) * width / 10).astype(int)
    rows = picture[picture.shape[0] // 2, middles].astype(int).mean(-1)
    return int(((rows > 125) << np.arange(10)).sum())


def film(
    form: str = "mp4",
    codec: str = "libx264",
    stamps: Sequence[int] = range(50),
    fps: int = 25,
    sound: str = "",
    wave: np.ndarray | None = None,
    late: float = 0.0,
    **options: str,
) -> bytes:
    """A video whose frame i shows i at stamps[i] / fps seconds, and a mono sound of 48 kHz that begins `late` seconds after 0.

    `options` are those of the codec of the pictures (g: frames from one key frame to the next).
    """
    buffer = BytesIO()
    with av.open(buffer, "w", format=form) as container:
        pictures: Any = container.add_stream(codec, rate=fps, options=options)
        pictures.width, pictures.height, pictures.pix_fmt = 80, 32, {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        pictures.time_base = pictures.codec_context.time_base = Fraction(1, fps)
        heard: Any = container.add_stream(sound, rate=RATE, layout="mono") if sound else None
        for i, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(numbered(i), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, fps)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        if heard is not None:
            _play(container, heard, np.zeros(0, np.float32) if wave is None else wave, late)
    return buffer.getvalue()


def song(form: str = "ipod", codec: str = "aac", wave: np.ndarray | None = None, rate: int = RATE) -> bytes:
    """A sound alone: an M4A ("ipod") or an ADTS file."""
    buffer = BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        _play(container, stream, np.zeros(rate, np.float32) if wave is None else wave, 0.0)
    return buffer.getvalue()


def bursts(seconds: float, at: Sequence[float], frequency: float = 1000.0) -> np.ndarray:
    """Tones of 50 ms at some times, silence between: f32[N] at 48 kHz."""
    out = np.zeros(round(seconds * RATE), np.float32)
    tone = (0.5 * np.sin(2 * np.pi * frequency * np.arange(RATE // 20) / RATE)).astype(np.float32)
    for time in at:
        out[round(time * RATE) :][: len(tone)] = tone
    return out


def _play(container: Any, stream: Any, wave: np.ndarray, late: float) -> None:
    rate = stream.rate
    whole = {"s16": ("s16", lambda x: np.round(x * 32767).astype(np.int16)), "flt": ("flt", lambda x: x)}
    name, convert = whole.get(stream.codec_context.format.name.rstrip("p"), whole["flt"])
    resampler = av.AudioResampler(stream.codec_context.format, stream.layout, rate, stream.codec_context.frame_size or 1024)
    for at in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(convert(wave[None, at : at + 1024]), format=name, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, at + round(late * rate), Fraction(1, rate)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
    for piece in resampler.resample(None):
        container.mux(stream.encode(piece))
    container.mux(stream.encode())
