"""Scenes as sounds: one second at 16 kHz, a note an object.

Colour is pitch, shape is timbre (which partials sound), size is loudness, texture is articulation (plain: sustained;
striped: tremolo; dotted: staccato), and place is time (nine slots in reading order) and pan (left to right).
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from sensorium.world.scene import COLOURS, MOST, SHAPES, TEXTURES, Scenes, choice, uniform

RATE = 16_000
SAMPLES = RATE
SLOT = 1_750
"""Samples between the starts of two neighbouring slots."""
NOTE = 1_700
PITCHES = 220.0 * 2.0 ** (np.arange(len(COLOURS)) * 3.5 / 12)
PARTIALS: dict[str, tuple[tuple[float, float], ...]] = {  # (frequency ratio, amplitude)
    "circle": ((1, 1.0),),
    "square": ((1, 1.0), (3, 0.6), (5, 0.45), (7, 0.3)),
    "triangle": ((1, 0.8), (2, 0.7), (3, 0.55), (4, 0.45), (5, 0.35), (6, 0.3)),
    "star": ((1, 0.7), (2.76, 0.7), (5.4, 0.5)),
    "cross": ((1, 0.8), (2, 0.7), (4, 0.6), (8, 0.3)),
    "ring": ((1, 0.6), (1.5, 0.7)),
}
LOUDNESS = (0.05, 0.2)
"""Root-mean-square of a plain note by size, before the jitter of gain."""
DETUNE = (-0.1, 0.0, 0.1)
"""Semitones."""
STEP, STEPS = 16, 9
"""A note starts `STEP` · (0 … `STEPS` − 1) samples into its slot."""
PAN = (0.15, 0.5, 0.85)


def render(scenes: Scenes) -> Float[np.ndarray, "B N 2"]:
    """Stereo sound, left and right; `mono(scenes)` is its mean over the channels."""
    left, right = (_render(scenes, gain) for gain in (tuple(2 - 2 * p for p in PAN), tuple(2 * p for p in PAN)))
    return np.stack([left, right], axis=-1)


def mono(scenes: Scenes) -> Float[np.ndarray, "B N"]:
    """The sound of each scene for one ear in the middle."""
    return _render(scenes, (1.0, 1.0, 1.0))


def _render(scenes: Scenes, gains: tuple[float, ...]) -> Float[np.ndarray, "B N"]:
    u = uniform(scenes.key, "sound", 3 + 3 * MOST)
    hiss = _hiss()
    start = choice(u[:, 0], len(hiss) - SAMPLES)
    level = (0.001 + 0.004 * u[:, 1]).astype(np.float32)
    out = np.empty((len(scenes), SAMPLES), np.float32)
    for b in range(len(scenes)):
        np.multiply(hiss[start[b] : start[b] + SAMPLES], level[b], out=out[b])
    bank = notes()
    for i in range(MOST):
        for b in np.flatnonzero(scenes.present[:, i]):
            v = u[b, 3 + 3 * i : 6 + 3 * i]
            place = scenes.place[b, i]
            gain = LOUDNESS[scenes.size[b, i]] * 10 ** (0.1 * (v[0] - 0.5)) * gains[place % 3]
            note = bank[scenes.shape[b, i], scenes.colour[b, i], scenes.texture[b, i], int(v[1] * len(DETUNE))]
            at = place * SLOT + STEP * int(v[2] * STEPS)
            out[b, at : at + NOTE] += np.float32(gain) * note
    return np.clip(out, -1, 1, out=out)


@cache
def notes() -> Float[np.ndarray, "6 8 3 3 1700"]:
    """Every note by (shape, colour, texture, detuning); a plain one has a root-mean-square of 1."""
    t = np.arange(NOTE) / RATE
    plain = np.minimum(1, np.minimum(t / 0.004, (NOTE / RATE - t) / 0.012))
    envelopes = {
        "plain": plain,
        "striped": plain * np.where((t * 28) % 1 < 0.5, 1.0, 0.05),
        "dotted": np.minimum(1, t / 0.004) * np.clip((0.035 - t) / 0.008, 0, 1),
    }
    out = np.zeros((len(SHAPES), len(COLOURS), len(TEXTURES), len(DETUNE), NOTE), np.float32)
    for shape, colour, texture, tune in np.ndindex(*out.shape[:-1]):
        frequency = PITCHES[colour] * 2 ** (DETUNE[tune] / 12)
        wave = sum(a * np.sin(2 * np.pi * ratio * frequency * t) for ratio, a in PARTIALS[SHAPES[shape]])
        out[shape, colour, texture, tune] = wave / np.sqrt(np.mean(wave**2)) * envelopes[TEXTURES[texture]]
    return out


@cache
def _hiss() -> Float[np.ndarray, " N"]:
    return np.random.Generator(np.random.Philox(7)).standard_normal(1 << 17).astype(np.float32)
