"""What pictures, clips, sounds and traces are made of: 32 fixed patterns each, one for each coordinate of a copy.

A pattern matrix is f32[values 32], scaled so that a signal g = patterns @ coordinates has variance 1 (at every value, or on
average for sounds, whose notes rise and fall). All are NumPy, computed once for each shape.
"""

from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Float

from sensorium.latent.copies import DIMENSIONS

Patterns = Float[np.ndarray, "values 32"]
NOTES, PARTIALS = 4, (3, 5, 7, 10, 13, 17, 22, 29)
"""A sound is four notes in turn, each of eight partials at these multiples of 100 Hz: 10 ms hold whole periods of all."""
WORST = 30.0  # condition number up to which float32 tells the coordinates apart well


@cache
def image(shape: tuple[int, int, int]) -> Patterns:
    """Smooth coloured patterns: the 2-D cosines of lowest frequency, each in every direction of colour."""
    h, w, c = shape
    waves = sorted(product(range(h), range(w)), key=lambda f: (f[0] ** 2 + f[1] ** 2, f))[:DIMENSIONS]
    patterns = [np.einsum("y,x,c->yxc", _cosine(h, fy), _cosine(w, fx), _cosine(c, k)) for fy, fx in waves for k in range(c)]
    return _evened(f"a picture of {shape}", patterns)


@cache
def video(shape: tuple[int, int, int, int]) -> Patterns:
    """Gratings that drift, in every direction of colour: the slowest and widest first."""
    t, h, w, c = shape
    reach = [range(-((n - 1) // 2), (n - 1) // 2 + 1) for n in (h, w)]
    waves = [(ft, fy, fx) for ft in range(1, (t - 1) // 2 + 1) for fy in reach[0] for fx in reach[1]]
    waves = sorted(waves, key=lambda f: (sum(x * x for x in f), f))[:DIMENSIONS]
    where = np.meshgrid(*(np.arange(n) / n for n in (t, h, w)), indexing="ij")
    patterns = []
    for wave in waves:
        angle = 2 * np.pi * sum(f * x for f, x in zip(wave, where, strict=True))
        patterns += [turn(angle)[..., None] * _cosine(c, k) for turn in (np.cos, np.sin) for k in range(c)]
    return _evened(f"a clip of {shape}", patterns)


@cache
def sensor(shape: tuple[int, int]) -> Patterns:
    """Slow cosines in time, each in every direction of the channels."""
    t, c = shape
    patterns = [np.einsum("t,c->tc", _cosine(t, f), _cosine(c, k)) for f in range(min(t, DIMENSIONS)) for k in range(c)]
    return _evened(f"a trace of {shape}", patterns)


@cache
def audio(rate: int, samples: int) -> Patterns:
    """Four notes, each of eight partials under an arc; the sample at n is at n / rate seconds.

    The fundamental is 100 Hz; lower where the rate could not hold the highest partial, higher where notes are very short.
    """
    fundamental = min(rate / 64, max(100.0, 4 * rate / samples))
    time, note = np.arange(samples) / rate, np.arange(samples) * NOTES / samples
    waves = [np.sin(2 * np.pi * fundamental * partial * time) for partial in PARTIALS]
    arcs = [np.where(note.astype(int) == e, np.sin(np.pi * (note - e)), 0.0) for e in range(NOTES)]
    patterns = np.stack([arc * wave for arc in arcs for wave in waves], axis=1)
    _carries(f"a sound of {samples} samples at {rate} Hz", patterns)
    return (patterns / np.sqrt(np.square(patterns).sum(1).mean())).astype(np.float32)


def _cosine(n: int, f: int) -> np.ndarray:
    """The f-th of the n orthonormal cosines over n places."""
    return np.sqrt((2 if f else 1) / n) * np.cos(np.pi * f * (np.arange(n) + 0.5) / n)


def _evened(what: str, patterns: list[np.ndarray]) -> Patterns:
    matrix = np.stack([pattern.ravel() for pattern in patterns[:DIMENSIONS]], axis=1) if patterns else np.zeros((0, 0))
    if matrix.shape[1] == DIMENSIONS:
        length = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrix = matrix / np.where(length > 0, length, 1)
    _carries(what, matrix)
    return matrix.astype(np.float32)


def _carries(what: str, matrix: np.ndarray) -> None:
    if matrix.shape[1] < DIMENSIONS or len(matrix) < DIMENSIONS or np.linalg.cond(matrix) > WORST:
        raise ValueError(f"{what} cannot carry a latent of {DIMENSIONS} numbers: give it more values, pixels or samples")
