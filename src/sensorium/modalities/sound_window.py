"""A window of a sound, at another rate: read, mixed and resampled block by block, so that a long one takes little memory."""

from collections.abc import Callable, Iterator
from math import ceil, gcd

import numpy as np
from jaxtyping import Bool, Float

from sensorium.core.errors import SensoriumError, need
from sensorium.modalities.sound_block import Block, Sound

MARGIN = 0.1
"""Seconds read before and after the window, so that the resampling filter sees there what it would in the whole sound."""
LOUDEST = 4.0
"""Peaks up to this are clipped to 1 (lossy formats overshoot); above it the numbers cannot be a sound in [-1, 1]."""
Place = Callable[[int], int]
"""In how many places a window could begin -> the one where it does."""


def read(
    sound: Sound, rate: int, samples: int, place: Place, where: str, error: type[SensoriumError]
) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """N = `samples` samples at `rate` Hz, the mean over the channels, and which of them are there; silence elsewhere.

    A window begins where a sample of the old rate and one of the new fall together, so that it equals that part of the whole
    sound resampled. `error` is raised, with `where` in front, for what is no sound in [-1, 1], and where none is there.
    """
    shared = gcd(rate, sound.rate)
    old, new = sound.rate // shared, rate // shared  # samples between two such places
    whole = sound.frames * rate // sound.rate
    start = place((whole - samples) // new + 1) if whole > samples else 0
    lead = min(start, ceil(MARGIN * shared)) if old != new else 0
    count = lead * old + ceil((samples / rate + (MARGIN if old != new else 0)) * sound.rate)
    real = np.zeros(samples, bool)
    mono = _marked(_mono(sound.blocks((start - lead) * old, count), where, error), real, rate, sound.rate, lead * new)
    out = np.zeros(samples, np.float32)
    at = -lead * new
    for piece in _resampled(mono, sound.rate, rate):
        kept = piece[max(0, -at) : max(0, samples - at)]
        out[max(0, at) : max(0, at) + len(kept)] = kept
        at += len(piece)
    if not real.any():
        raise error(f"{where}: the sound is empty (no samples{' in this part of it' if sound.frames else ''})")
    np.clip(out, -1, 1, out=out)
    out[~real] = 0
    return out, real


def _mono(blocks: Iterator[Block], where: str, error: type[SensoriumError]) -> Iterator[Block]:
    """The mean over the channels, once it is known to be a sound."""
    for x, there in blocks:
        if not np.isfinite(x).all():
            raise error(f"{where}: {np.count_nonzero(~np.isfinite(x))} of its samples are NaN or infinite")
        if (peak := float(np.abs(x).max())) > LOUDEST:
            raise error(
                f"{where}: samples up to {peak:g}, expected [-1, 1]; divide integers by their full scale (32768 for 16 bits)"
            )
        yield x.mean(1, dtype=np.float32), there


def _marked(
    blocks: Iterator[Block], real: Bool[np.ndarray, " N"], rate: int, old: int, lead: int
) -> Iterator[Float[np.ndarray, " n"]]:
    """The samples alone, while what is there is written into `real`."""
    at = 0
    for x, there in blocks:
        first, at = at, at + len(x)
        if there:
            real[max(0, first * rate // old - lead) : max(0, -(-at * rate // old) - lead)] = True
        yield x


def _resampled(blocks: Iterator[Float[np.ndarray, " n"]], old: int, new: int) -> Iterator[Float[np.ndarray, " m"]]:
    if old == new:
        yield from blocks
        return
    soxr = need("soxr", "media", f"changing the rate of a sound from {old} to {new} Hz")
    stream = soxr.ResampleStream(old, new, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
