"""What a model made as the bytes of ordinary files, which say within how they came to be; and what a file says of that."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities.audio import wav_bytes
from sensorium.modalities.noted import Note, in_csv, in_gif, in_png, in_wav, note_of, text_of
from sensorium.modalities.raw import BadRaw
from sensorium.modalities.written import mp4_bytes

BESIDE = ".json"
"""The end of a file beside one that holds no notes: `out.txt.json`."""
_HUNDREDTHS = 100
"""Of a second: in these a GIF counts."""


def suffixes(field: Modality) -> tuple[str, ...]:
    """The ends of files that things of a field can be kept in."""
    return tuple(end for kind, end in WRITERS if kind == field.kind)


def kept(field: Modality, thing: Any, suffix: str, note: Note) -> bytes:
    """The bytes of a file for a thing as `Sensorium.generate` gives it, with a note of how it was made (`"software"`, and what
    else is to be said; equal things and notes give equal bytes). A `BadRaw` where the file cannot hold it."""
    if (field.kind, suffix) not in WRITERS:
        known = ", ".join(suffixes(field)) or "no file that is known here"
        raise BadRaw(f"{suffix or 'no suffix'}: {field.name} is kept in {known}")
    return WRITERS[field.kind, suffix](field, thing, note)


def notes_within(suffix: str) -> bool:
    """Whether a file of this kind holds the note itself; else it lies beside, as JSON."""
    return suffix != ".txt"


def provenance(path: Path | str) -> dict[str, Any]:
    """How a file was made that `sensorium generate` wrote: prompt, seed, settings, model and version. `BadFile` where it does
    not say so."""
    beside = Path(f"{path}{BESIDE}")
    if not notes_within(Path(path).suffix.lower()):
        if not Path(path).is_file():
            raise BadFile(f"{path}: no such file")
        return note_of(beside)
    return note_of(path)


def _png(field: Modality, thing: Any, note: Note) -> bytes:
    buffer = BytesIO()
    thing.save(buffer, "PNG")
    told = note.get("prompt")
    return in_png(buffer.getvalue(), note, told if isinstance(told, str) else "")


def _wav(field: Modality, thing: Any, note: Note) -> bytes:
    return in_wav(wav_bytes(*thing), note)


def _mp4(field: Modality, thing: Any, note: Note) -> bytes:
    frames, fps = thing
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise BadRaw(f"{frames.shape[1]}×{frames.shape[2]} pixels: an MP4 takes even sides only: keep it as a .gif")
    return mp4_bytes(frames, fps, text_of(note))


def _gif(field: Modality, thing: Any, note: Note) -> bytes:
    """Each frame with the 256 colours that suit it best, again and again."""
    from PIL import Image as Pillow

    frames, fps = thing
    ends = np.round(np.arange(len(frames) + 1) * _HUNDREDTHS / fps).astype(int)  # so that roundings do not add up
    buffer = BytesIO()
    first, *rest = [Pillow.fromarray(frame) for frame in frames]
    lasts = [10 * int(last) for last in np.maximum(np.diff(ends), 1)]  # in ms
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=lasts, loop=0, disposal=1, optimize=False)
    return in_gif(buffer.getvalue(), note)


def _csv(field: Any, thing: Any, note: Note) -> bytes:
    """A column `time` in seconds, and one for each channel with its unit."""
    x, rate = thing
    names = field.names or [f"channel {i + 1}" for i in range(x.shape[1])]
    units = field.units or [""] * len(names)
    heads = ["time", *(f"{name} ({unit})" if unit else name for name, unit in zip(names, units, strict=True))]
    rows = (",".join([f"{i / rate:.9g}", *(f"{value:.6g}" for value in row)]) for i, row in enumerate(x))
    return in_csv("".join(f"{line}\n" for line in (",".join(heads), *rows)).encode(), note)


def _txt(field: Modality, thing: Any, note: Note) -> bytes:
    return f"{thing}\n".encode()


WRITERS: dict[tuple[str, str], Callable[[Any, Any, Note], bytes]] = {
    ("image", ".png"): _png,
    ("audio", ".wav"): _wav,
    ("video", ".mp4"): _mp4,
    ("video", ".gif"): _gif,
    ("sensor", ".csv"): _csv,
    ("text", ".txt"): _txt,
}
"""By kind of field and end of file: what makes the bytes."""
