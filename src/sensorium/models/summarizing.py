"""Summarizing: what happens in a clip of any length and when, by a model that captions short ones."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened
from sensorium.modalities import BadRaw, Image, Video
from sensorium.modalities.transcript import NotAsked
from sensorium.modalities.video import length, taken
from sensorium.models.telling import Leaves, Teller, Telling
from sensorium.models.transcribe import Segment

WINDOW = 2.0
"""Seconds of a clip that are told of at once, unless told otherwise: as many as clips of the built-in world have."""
SAME = 3.0
"""Nats: two windows say the same where the sentence of either is at most so much less likely of the other than its own."""
MOST_FRAMES = 20_000
"""That are held at once, made small: beyond it windows have to be longer."""


class Window(NamedTuple):
    """A part of a clip: its frames, and when it starts and ends, in seconds."""

    frames: UInt8[np.ndarray, "T H W 3"]
    start: float
    end: float


class Summary(tuple[Segment, ...]):
    """What happens when: a sentence for each part of a clip. As a text, a line each with its times."""

    def __str__(self) -> str:
        return "\n".join(f"{clock(one.start)} to {clock(one.end)}: {one.text}" for one in self)


def summarized(teller: Teller, leaves: Leaves, fields: Sequence[Modality], clip: Raw, how: Telling, window: float) -> Summary:
    """Each window of a clip told of, those after each other that say the same as one. `NotAsked` of a model that tells of no
    clips, `BadRaw` for windows that are none."""
    field = next((field for field in fields if isinstance(field, Video)), None)
    if field is None or teller.reads != (field.name,):
        raise NotAsked(
            "this model tells of no clips: sensorium learn captions --source video --motion 1.0 --out runs/captions-of-video "
            "trains one that does"
        )
    if not 0 < window < float("inf"):
        raise BadRaw(f"window={window}: expected seconds above 0")
    parts = list(windows(field, opened(clip), window))
    raws: list[Any] = [(part.frames, len(part.frames) / max(part.end - part.start, 1e-6)) for part in parts]
    told = [texts[0] for texts in teller.caption(leaves, raws, how)]
    texts = [text for text in dict.fromkeys(told) if teller.readable(text)]
    chances = teller.likely(leaves, (raws,), texts) if texts else np.zeros((len(raws), 0), np.float32)
    groups = grouped(told, texts, chances)
    return Summary(Segment(parts[g[0]].start, parts[g[-1]].end, _sentence(text)) for g, text in groups)


def grouped(told: Sequence[str], texts: Sequence[str], chances: Float[np.ndarray, "N texts"]) -> list[tuple[list[int], str]]:
    """Which windows after each other say the same, and the sentence that is likeliest of all of them. `chances[i, j]`: the
    log-probability of `texts[j]` about window i; what was `told` of one and is not among the texts is only the same as itself."""
    number = [texts.index(text) if text in texts else None for text in told]

    def same(a: int, b: int) -> bool:
        x, y = number[a], number[b]
        if x is None or y is None or x == y:
            return told[a] == told[b]
        return bool(chances[b, x] >= chances[b, y] - SAME and chances[a, y] >= chances[a, x] - SAME)

    groups: list[list[int]] = []
    for i in range(len(told)):
        if groups and same(groups[-1][0], i):
            groups[-1].append(i)
        else:
            groups.append([i])
    out = []
    for group in groups:
        known = [j for i in group if (j := number[i]) is not None]
        best = max(known, key=lambda j: float(chances[group, j].sum()), default=None)
        out.append((group, told[group[0]] if best is None else texts[best]))
    return out


def windows(field: Video, clip: Raw, window: float) -> Iterator[Window]:
    """Parts of a clip of about `window` seconds, all equally long, each with as many frames as the field looks at (with fewer
    where it has no more), first to last in equal steps, small and square as the field has them. It is read once."""
    seconds = length(clip)
    number = max(1, round(seconds / window))
    if number * field.frames > MOST_FRAMES:
        least = seconds * field.frames / MOST_FRAMES
        raise BadRaw(f"a clip of {seconds:.0f} s in windows of {window} s: take windows of {least:.1f} s or more")
    wanted: list[list[int]] = []

    def choose(total: int) -> list[int]:
        edges = np.linspace(0, total, min(number, total) + 1).round().astype(int).tolist()
        for first, end in pairwise(edges):
            wanted.append([first + i for i in field.chosen(end - first)])
        return [i for part in wanted for i in part]

    shrink: Callable[[Any], np.ndarray] = lambda frame: Image(size=field.size).prepare(frame)["image"]  # noqa: E731
    frames, _ = taken(clip, choose, shrink, None)
    at, share = 0, seconds / len(wanted)
    for i, part in enumerate(wanted):
        yield Window(np.stack(frames[at : at + len(part)]), i * share, (i + 1) * share)
        at += len(part)


def clock(seconds: float) -> str:
    """Seconds as people write times: 0:04.5, 1:02:03."""
    whole = round(seconds, 1)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(int(minutes), 60)
    told = f"{rest:04.1f}".removesuffix(".0")
    return f"{hours}:{minutes:02}:{told}" if hours else f"{minutes}:{told}"


def _sentence(text: str) -> str:
    said = text.strip()
    return f"{said[:1].upper()}{said[1:]}{'' if said.endswith('.') else '.'}"
