"""Reads scenes back from sounds, by matching and never by learning: the short-time spectra of each slot meet those of all notes.

Only magnitudes count, so that a sound whose phases were found again by a vocoder is heard like any other.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sensorium.world import caption, sound
from sensorium.world.scene import PLACES, Scenes

_SILENT = 0.012  # root-mean-square below which a slot holds no note
_WINDOW, _HOP = 512, 128
_STARTS = range(0, sound.STEPS, 2)  # one step more or less in the start of a note hardly changes its magnitudes
_FROM, _TO = sound.STEP * (sound.STEPS - 1), sound.NOTE  # of a slot: the samples that this slot's note has, wherever it starts


class Heard(NamedTuple):
    """What is heard in each slot of each sound."""

    level: Float[np.ndarray, "B 9"]
    """Root-mean-square."""
    note: Int[np.ndarray, "B 9"]
    """The number of the note that fits best, of those of `sound.notes()` in one row; -1 where nothing sounds."""
    gain: Float[np.ndarray, "B 9"]
    """How loud it is, where 1 is a root-mean-square of 1 of a plain note; 0 where nothing sounds."""
    likeness: Float[np.ndarray, "B 9"]
    """The cosine of its magnitudes with those of that note: 1 for the note itself, 0 where nothing sounds."""


def of_sounds(sounds: Float[np.ndarray, "B N"]) -> Scenes:
    """The scene that each mono sound plays: in each slot, the note, at the start, that fits best."""
    heard = hear(sounds)
    shape, colour, texture, _ = np.unravel_index(np.maximum(heard.note, 0), sound.notes().shape[:4])
    size = heard.gain > np.sqrt(np.prod(sound.LOUDNESS))
    parts = np.stack([size, texture, colour, shape, np.broadcast_to(np.arange(len(PLACES)), size.shape)], -1)
    found = zip(parts.tolist(), (heard.note >= 0).tolist(), strict=True)
    return caption.scenes([[tuple(one) for one, sounds in zip(row, there, strict=True) if sounds] for row, there in found])


def hear(sounds: Float[np.ndarray, "B N"]) -> Heard:
    """The note of every slot, and how well it fits. Sounds are at `sound.RATE`, of `sound.SAMPLES` or more."""
    sounds = np.asarray(sounds, np.float32)
    if sounds.ndim != 2 or sounds.shape[1] < sound.SAMPLES:
        raise ValueError(f"sounds of {sounds.shape}: expected rows of {sound.SAMPLES} samples or more at {sound.RATE} Hz")
    slots = np.stack([sounds[:, p * sound.SLOT + _FROM : p * sound.SLOT + _TO] for p in range(len(PLACES))], 1)
    level = np.sqrt(np.mean(slots**2, axis=-1))
    note, gain, likeness = np.full(level.shape, -1), np.zeros_like(level), np.zeros_like(level)
    there = level >= _SILENT
    if there.any():
        note[there], gain[there], likeness[there] = _matched(slots[there])
    return Heard(level, note, gain, likeness)


def _matched(slots: Float[np.ndarray, "K n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bank, norms = _bank()
    found = magnitudes(slots).reshape(len(slots), -1)
    cosines = found @ bank.T
    best = cosines.argmax(1)
    cosine = cosines[np.arange(len(slots)), best]
    return best // len(_STARTS), cosine / norms[best], cosine / np.linalg.norm(found, axis=1)


def magnitudes(wave: Float[np.ndarray, "B n"]) -> Float[np.ndarray, "B T F"]:
    """Of the short-time spectra of what is given, nothing before or after it."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW, axis=1)[:, ::_HOP]
    return np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32))).astype(np.float32)


@cache
def _bank() -> tuple[Float[np.ndarray, "K X"], Float[np.ndarray, " K"]]:
    """The magnitudes of every note at every start as rows of length 1, and what their lengths were."""
    notes = sound.notes().reshape(-1, sound.NOTE)
    shifted = [notes[:, _FROM - at : _TO - at] for at in (sound.STEP * step for step in _STARTS)]
    rows = magnitudes(np.stack(shifted, 1).reshape(-1, _TO - _FROM)).reshape(len(notes) * len(_STARTS), -1)
    norms = np.linalg.norm(rows, axis=1)
    return rows / norms[:, None], norms
