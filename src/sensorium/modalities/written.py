"""Arrays as the bytes of ordinary files: what the modalities read back. Sounds: `audio.wav_bytes`."""

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO

import numpy as np
from jaxtyping import Float, UInt8

from sensorium.core.errors import need


def mp4_bytes(clip: UInt8[np.ndarray, "T H W 3"], fps: float, comment: str = "") -> bytes:
    """A video file in H.264, or in MPEG-4 part 2 where PyAV was built without it; H and W have to be even. A `comment` becomes
    a tag of the file."""
    av = need("av", "media", "writing video")
    buffer = BytesIO()
    h264 = "libx264" in av.codecs_available
    options = {"crf": "16", "preset": "veryfast", "threads": "1"} if h264 else {"qscale": "2"}
    with av.open(buffer, "w", format="mp4") as container:
        container.metadata.update({"comment": comment} if comment else {})
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in clip:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def csv_bytes(x: Float[np.ndarray, "T C"], times: Float[np.ndarray, " T"], names: Sequence[str], unit: str) -> bytes:
    """A CSV with a column `time` in seconds and the unit beside each other name."""
    lines = [",".join(["time", *(f"{name} ({unit})" for name in names)])]
    lines += [",".join([f"{t:.4f}", *(f"{value:.6g}" for value in row)]) for t, row in zip(times, x, strict=True)]
    return "".join(f"{line}\n" for line in lines).encode()


def png_bytes(picture: UInt8[np.ndarray, "H W C"]) -> bytes:
    """A PNG, packed quickly rather than tightly."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
