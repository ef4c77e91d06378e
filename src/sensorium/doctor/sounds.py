"""Sounds that hold nothing, or are damaged: from a few numbers a sound."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened
from sensorium.data.health import Seen
from sensorium.data.near import groups, perceptual_hash
from sensorium.doctor.finding import Finding, found
from sensorium.doctor.spread import FEWEST
from sensorium.modalities import sound_file

SECONDS = 30.0
"""So much of a sound is looked at for its level."""
MOST = 2**22
"""Numbers that are held of it: 16 MB."""
SILENT = 1e-4
"""The largest sample: −80 dB, three steps of 16 bits. The quietest rooms have more noise."""
FULL, RUN, CLIPPED = 0.98, 4, 0.01
"""Samples of at least that share of the peak, at least so many in a row, in at least that share of the sound, are clipped,
where the peak is above `FULL` too: a loud sine of 100 Hz has runs, but seldom at full scale; mastered music has below 0.1 %."""
OFFSET = 0.05
"""Of the mean. Cheap sound cards have 0.01."""
OTHER_RATES = 0.05
"""The share of sounds up to which another rate than that of all others is told."""
SHORT, LONG = 0.1, 10.0
"""Of the window: nine tenths would be silence; nine tenths are never heard."""
BANDS, TIMES = 32, 16
LOUD = -30.0
"""dB below the loudest cell: what is quieter is noise, in which codecs do as they like."""
CLOSE, CLOSEST = 2.0, 1.0
"""dB of the largest and the mean difference of two prints in their loud cells. An MP3 of 128 kbit/s moves them by 0.5."""


ALIKE = 0.9
"""Correlation of the waves of one recording. An MP3 of 64 kbit/s has 0.97 with its source; two notes a semitone apart 0.1."""
CELL = 6.0
"""dB: means of eight cells move by 0.2 when a sound is re-encoded."""


@dataclass(frozen=True)
class Sound:
    """What is kept of a sound: some 800 bytes. `print`: dB (at most 0) by band and time."""

    path: str
    raw: Raw
    field: Modality
    rate: int
    seconds: float
    window: float
    peak: float
    offset: float
    clipped: float
    print: Int8[np.ndarray, "32 16"]
    hash: int

    def wave(self) -> Float[np.ndarray, " N"]:
        """Its window, read again: for the last look at a few that seem the same."""
        return self.field.prepare(opened(self.raw))[self.field.name]


def measure(seen: Seen) -> Sound:
    """Of a decoded sound: the level of its first half minute at its own rate, and a coarse spectrogram of its window."""
    samples, rate = beginning(seen.data)
    length, window = seen.length or (len(samples) / rate, SECONDS)
    peak = float(np.abs(samples).max())
    table = spectrum(seen.arrays[seen.field.name])
    return Sound(
        path=str(seen.raw),
        raw=seen.raw,
        field=seen.field,
        rate=rate,
        seconds=float(length),
        window=float(window),
        peak=peak,
        offset=float(np.abs(samples.mean(0, dtype=np.float64)).max()),
        clipped=max(_clipped(samples[:, c], peak) for c in range(samples.shape[1])),
        print=np.round(table).astype(np.int8),
        hash=perceptual_hash(np.maximum(table, table.max() - 60)),
    )


def beginning(source: Path | str | bytes) -> tuple[Float[np.ndarray, "N C"], int]:
    """The first `SECONDS` of a sound file (less of one of many channels), as they are in it, and its rate in Hz."""
    with sound_file.opened(source) as sound:
        count = min(int(SECONDS * sound.rate), MOST // sound.channels)
        blocks = [block for block, there in sound.blocks(0, count) if there]
        return np.concatenate([np.zeros((0, sound.channels), np.float32), *blocks]), sound.rate


def spectrum(wave: Float[np.ndarray, " N"]) -> Float[np.ndarray, "32 16"]:
    """dB of the power in `BANDS` bands of equal musical width in each of `TIMES` equal parts of a sound."""
    n = max(len(wave) // TIMES, 4 * BANDS)
    parts = np.zeros(TIMES * n)
    parts[: len(wave)] = wave[: len(parts)]
    power = np.abs(np.fft.rfft(parts.reshape(TIMES, n) * np.hanning(n), axis=1)) ** 2 / n
    cells = np.geomspace(1, power.shape[1] - 1, BANDS + 1)
    first = np.minimum(np.arange(BANDS) + 1, power.shape[1] - 1)  # low bands are narrower than a bin: each has its own
    low = np.maximum(np.floor(cells[:-1]).astype(int), first)
    high = np.maximum(np.floor(cells[1:]).astype(int), low + 1)
    table = np.stack([power[:, a:b].sum(1) for a, b in zip(low, high, strict=True)])
    return np.clip(10 * np.log10(table + 1e-12), -100, 27)


def findings(sounds: Sequence[Sound]) -> list[Finding]:
    """What is told of single sounds."""
    out = []
    for s in sounds:
        if s.peak < SILENT:
            out.append(found("silent sound", [s.path], f"no sample is above {s.peak:.1g}"))
            continue
        if s.clipped >= CLIPPED:
            out.append(found("clipped sound", [s.path], f"{100 * s.clipped:.0f} % of it lies in flat peaks of {s.peak:.2f}"))
        if s.offset > OFFSET:
            out.append(found("constant offset", [s.path], f"its mean is {s.offset:.3f}"))
    return [*out, *_rates(sounds), *_lengths(sounds)]


def near_equal(sounds: Sequence[Sound]) -> list[tuple[str, ...]]:
    """Groups of sounds that are the same but for their encoding; silent ones are left out."""
    heard = [s for s in sounds if s.peak >= SILENT]
    points = np.zeros((len(heard), 64))
    for row, s in enumerate(heard):
        loud = np.maximum(s.print.astype(float), s.print.max() + LOUD)
        points[row] = loud.reshape(8, BANDS // 8, 8, TIMES // 8).mean((1, 3)).ravel()
    rows = groups([s.hash for s in heard], points, CELL, lambda pairs: _same(heard, pairs))
    return [tuple(heard[row].path for row in group) for group in rows]


def _same(sounds: Sequence[Sound], pairs: Int[np.ndarray, "K 2"]) -> Bool[np.ndarray, " K"]:
    """Which pairs are one recording: their prints are close, and so are their waves."""
    out = np.zeros(len(pairs), bool)
    for row, (a, b) in enumerate((sounds[a], sounds[b]) for a, b in pairs.tolist()):
        out[row] = close(a.print, b.print) and correlation(a.wave(), b.wave()) >= ALIKE
    return out


def correlation(a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"]) -> float:
    """The highest normalised cross-correlation over all shifts: 1 for the same wave, though later."""
    n = 2 * max(len(a), len(b))
    product = np.fft.irfft(np.fft.rfft(a, n) * np.conj(np.fft.rfft(b, n)), n)
    return float(product.max() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def close(a: Int8[np.ndarray, "32 16"], b: Int8[np.ndarray, "32 16"]) -> bool:
    """Whether two prints are of the same sound, as loud as each other."""
    loud = np.maximum(a, b) > max(int(a.max()), int(b.max())) + LOUD
    away = np.abs(a[loud].astype(np.float64) - b[loud])
    return bool(away.max() <= CLOSE and away.mean() <= CLOSEST)


def _clipped(x: Float[np.ndarray, " N"], peak: float) -> float:
    """The share of a channel that lies in flat tops."""
    if peak < FULL:
        return 0.0
    top = np.abs(x) >= 0.999 * peak
    edges = np.flatnonzero(np.diff(np.concatenate([[0], top, [0]])))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= RUN].sum()) / len(x)


def _rates(sounds: Sequence[Sound]) -> list[Finding]:
    times = Counter(s.rate for s in sounds)
    if len(sounds) < FEWEST:
        return []
    (usual, count), *_ = times.most_common(1)
    if count < (1 - OTHER_RATES) * len(sounds):
        return []
    what = f"where {count} of {len(sounds)} sounds have {usual} Hz"
    return [found("unlike rate", [s.path], f"{s.rate} Hz, {what}") for s in sounds if s.rate != usual]


def _lengths(sounds: Sequence[Sound]) -> list[Finding]:
    """Far shorter or longer than the window; where most are, the window is to blame, which the lengths tell."""
    out = []
    for kind, odd in (
        ("short sound", [s for s in sounds if s.seconds < SHORT * s.window]),
        ("long sound", [s for s in sounds if s.seconds > LONG * s.window]),
    ):
        if 2 * len(odd) < len(sounds):
            out += [found(kind, [s.path], f"{s.seconds:.3g} s, where the window is {s.window:.3g} s") for s in odd]
    return out
