"""Pictures, sounds and figures as text that stands inside of an HTML page, so that a page is one file and opens offline."""

import re
from base64 import b64encode
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from sensorium.modalities import picture_file
from sensorium.modalities.audio import Audio, wav_bytes
from sensorium.show.plots import FAINT, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = Any

MOST_SIDE = 384
"""Pixels. Larger pictures are made smaller; pictures of at most a third of it are kept bit by bit."""
MOST_BYTES = 1_000_000
"""Larger sound files do not go into a page: their first `CUT` seconds do."""
CUT, CUT_RATE = 20.0, 16_000
_MEDIA = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}


def picture_uri(picture: Any) -> str:
    """A picture (PIL image, path, or the bytes of a file) as a `data:` URI."""
    if isinstance(picture, str | Path | bytes):
        picture = picture_file.read(picture, MOST_SIDE)
    picture = picture.convert("RGB")
    buffer = BytesIO()
    if max(picture.size) <= MOST_SIDE // 3:
        picture.save(buffer, "PNG", optimize=True)
        return _uri("image/png", buffer.getvalue())
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    picture.save(buffer, "JPEG", quality=86)
    return _uri("image/jpeg", buffer.getvalue())


def png_uri(data: bytes) -> str:
    """The bytes of a PNG as they are, as a `data:` URI."""
    return _uri("image/png", data)


def clip_uri(clip: Any) -> str:
    """A clip, (frames u8[T H W 3], frames a second), as a `data:` URI of a picture that moves over and over, bit by bit."""
    from PIL import Image as Pillow

    frames, fps = clip
    first, *others = (Pillow.fromarray(np.asarray(frame)) for frame in frames)
    buffer = BytesIO()
    first.save(buffer, "WEBP", save_all=True, append_images=others, duration=round(1000 / fps), loop=0, lossless=True)
    return _uri("image/webp", buffer.getvalue())


def sound_uri(sound: Any) -> tuple[str, str]:
    """A sound, (array, rate) or path, as a `data:` URI, and what has to be said of it (that it was cut), or nothing."""
    if not isinstance(sound, str | Path):
        return _uri("audio/wav", wav_bytes(*sound)), ""
    path = Path(sound)
    media = _MEDIA.get(path.suffix.lower())
    if media and path.stat().st_size <= MOST_BYTES:
        return _uri(media, path.read_bytes()), ""
    cut = Audio(rate=CUT_RATE, seconds=CUT).prepare(path)["audio"]
    return _uri("audio/wav", wav_bytes(cut, CUT_RATE)), f"the first {CUT:.0f} s"


def waveform(sound: Any, bars: int = 96) -> str:
    """The envelope of a sound as the `d` of an SVG path in a box of 0…`bars` by -1…1: a vertical stroke a bar."""
    samples = Audio(rate=CUT_RATE, seconds=CUT).prepare(sound)["audio"] if isinstance(sound, str | Path) else sound[0]
    wave = np.asarray(samples, np.float32)
    wave = np.trim_zeros(wave, "b") if isinstance(sound, str | Path) else wave  # what `prepare` padded is no sound
    peaks = envelope(wave, bars)
    peaks = peaks / max(float(peaks.max()), 1e-6)
    return "".join(f"M{i + 0.5:g} {-max(p, 0.02):.2f}V{max(p, 0.02):.2f}" for i, p in enumerate(peaks.tolist()))


def envelope(wave: Float[np.ndarray, " N"], bars: int) -> Float[np.ndarray, " bars"]:
    """The largest magnitude in each of `bars` equal parts of a sound."""
    edges = np.linspace(0, len(wave), bars + 1).astype(int)
    return np.array([np.abs(wave[a:b]).max(initial=0.0) for a, b in pairwise(edges)])


def figure_svg(figure: "Figure", name: str) -> str:
    """A figure as an inline `<svg>` in the colours and the font of the page. `name` keeps its ids apart from others'.

    Text stays text; what refers to the outside (XML name spaces, metadata) is left out, as HTML needs none of it.
    """
    import matplotlib as mpl

    buffer = BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=200)
    svg = buffer.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:\w+)?|version|width|height)="[^"]*"', "", svg.split(">", 1)[0]) + ">" + svg.split(">", 1)[1]
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", svg)
    svg = re.sub(r"font-family: [^;\"]+; ?", "", svg)
    for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (FAINT, "--faint")):
        svg = svg.replace(colour, f"var({variable})")
    return svg


def _uri(media: str, data: bytes) -> str:
    return f"data:{media};base64,{b64encode(data).decode()}"
