"""Long things cut into what a model looks at, hears or reads at once: films into moments, sounds into windows, texts into
passages."""

import re
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality, Raw, Stored
from sensorium.data.health import Measured
from sensorium.modalities import Audio, Video, sound_file, video
from sensorium.modalities.film import Film

MOMENT = 5.0
"""Seconds of a film that are looked at together where the model does not say how many."""
LONGER = 1.25
"""Things that are at most so much longer than what is taken at once are not cut: the rest of a window would say little."""
SIDE = 512
"""Pixels of the short side that frames of a cut film are held with."""
FRAMES = 128
"""Frames that are held at once."""
RULES = "1"
"""Told with each item, so that other rules of cutting make it anew."""


class Window(NamedTuple):
    """A part of a thing, as its field takes it: from `start` to `end` in seconds, or the `passage` of a text."""

    raw: Raw
    start: float | None = None
    end: float | None = None
    passage: str = ""


def windows(field: Modality, raw: Raw) -> Iterator[Window] | None:
    """The windows of a sound or a film that is longer than what the field takes at once, evenly spaced, the last at its end.
    None where it is not, and of things of other kinds. `BadFile` for a broken file, at once or while it is read."""
    if not isinstance(raw, str | Path | bytes | Stored):
        return None
    from sensorium.modalities.spectrogram import Spectrogram  # with JAX, which who only searches does without

    if isinstance(field, Audio | Spectrogram):
        seconds = sound_file.duration(raw)
        return None if _number(seconds, field.seconds) == 1 else _sounds(raw, seconds, field.seconds)
    if isinstance(field, Video | Film):
        moment, seconds = field.seconds or MOMENT, video.length(raw)
        return None if _number(seconds, moment) == 1 else _moments(field, raw, seconds, moment)
    return None


def window(field: Modality, raw: Raw, start: float) -> Raw:
    """What `windows` gives that begins at `start`. `BadFile` where nothing does any more, or the file is broken."""
    for one in windows(field, raw) or ():
        if one.start is not None and abs(one.start - start) < 1e-3:
            return one.raw
    raise BadFile(f"{raw}: nothing begins at {start} s any more: it has changed since it was indexed")


def passages(field: Modality, texts: Sequence[str], alone: bool) -> tuple[tuple[str, ...], Iterator[Window]]:
    """(the texts that are read whole, the passages of the others), for a field that says how much of a text it reads. `alone`:
    nothing but these texts makes the item, so that they are read as one, line after line, where that is too long."""
    if not isinstance(field, Measured):
        return tuple(texts), iter(())
    fits = [_fits(field, text) for text in texts]
    if alone and not _fits(field, "\n".join(texts)):
        return (), _passages(field, "\n".join(texts))
    long = [text for text, yes in zip(texts, fits, strict=True) if not yes]
    return tuple(t for t, yes in zip(texts, fits, strict=True) if yes), (p for text in long for p in _passages(field, text))


def _number(seconds: float, window: float) -> int:
    """How many windows it takes: each begins before the one before it has ended."""
    return 1 if seconds <= LONGER * window else ceil(seconds / window - 1e-6)


def _starts(seconds: float, window: float) -> list[float]:
    n = _number(seconds, window)
    return [round(i * (seconds - window) / (n - 1), 3) for i in range(n)]


def _sounds(raw: Raw, seconds: float, window: float) -> Iterator[Window]:
    """Read once, block by block, at the file's own rate; the mean over the channels."""
    starts = _starts(seconds, window)
    with sound_file.opened(raw) as sound:
        held, first = np.zeros(0, np.float32), 0  # samples, and which number the first of them has
        blocks = sound.blocks(0, sound.frames)
        for start in starts:
            at, end = round(start * sound.rate), round((start + window) * sound.rate)
            while first + len(held) < end and (block := next(blocks, None)) is not None:
                held = np.concatenate([held, block[0].mean(1, dtype=np.float32)])
            held, first = held[max(0, at - first) :], max(first, at)
            part = held[: end - first]
            if len(part) < (end - at) / 2 and start:  # the header promised more than there was
                return
            yield Window((part, sound.rate), at / sound.rate, (at + len(part)) / sound.rate)


def _moments(field: Video | Film, raw: Raw, seconds: float, moment: float) -> Iterator[Window]:
    """Some moments at a time, each with as many frames as the field looks at, in equal steps."""
    starts = _starts(seconds, moment)
    many = max(1, FRAMES // field.frames)
    for group in (starts[i : i + many] for i in range(0, len(starts), many)):
        wanted: list[list[int]] = []

        def choose(total: int, group: Sequence[float] = group, wanted: list[list[int]] = wanted) -> list[int]:
            wanted.clear()  # it is asked again where the file has more or fewer frames than it said
            for start in group:
                low = min(total - 1, int(start / seconds * total + 1e-6))
                high = max(low + 1, min(total, ceil((start + moment) / seconds * total - 1e-6)))
                wanted.append([low + (high - low) * i // field.frames for i in range(field.frames)])
            return sorted({number for part in wanted for number in part})

        frames, _ = video.taken(raw, choose, _smaller, None)
        of = dict(zip(sorted({number for part in wanted for number in part}), frames, strict=True))
        for start, part in zip(group, wanted, strict=True):
            yield Window((np.stack([of[i] for i in part]), field.frames / moment), start, round(min(seconds, start + moment), 3))


def _smaller(frame: Any) -> np.ndarray:
    """A frame with a short side of `SIDE` pixels at most."""
    from PIL import Image as Pillow

    if isinstance(frame, Path):
        from sensorium.modalities import picture_file

        return np.asarray(picture_file.read(frame, SIDE).convert("RGB"))
    height, width = frame.shape[:2]
    if (short := min(height, width)) <= SIDE:
        return frame
    size = round(width * SIDE / short), round(height * SIDE / short)
    return np.asarray(Pillow.fromarray(frame).resize(size, Pillow.Resampling.BICUBIC, reducing_gap=2.0))


def _fits(field: Measured, text: str) -> bool:
    whole, kept = field.measure(text)
    return whole <= kept


def _passages(field: Measured, text: str) -> Iterator[Window]:
    """Sentences after each other, as many as are read at once; a sentence that is too long is halved between words."""
    held = ""
    for sentence in _sentences(field, text):
        if held and not _fits(field, held + sentence):
            yield Window(held.strip(), passage=held.strip())
            held = ""
        held += sentence
    if held.strip():
        yield Window(held.strip(), passage=held.strip())


def _sentences(field: Measured, text: str) -> Iterator[str]:
    for sentence in re.split(r"(?<=[.!?…。！？])(?=\s)|(?<=\n)", text):
        yield from _halves(field, sentence)


def _halves(field: Measured, text: str) -> Iterator[str]:
    words = re.findall(r"\s*\S+\s*?", text)
    if len(words) < 2 or _fits(field, text.strip()):
        if text.strip():
            yield text
        return
    middle = len(words) // 2
    yield from _halves(field, "".join(words[:middle]))
    yield from _halves(field, "".join(words[middle:]))
