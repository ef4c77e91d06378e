"""A small model that is exact by construction: it hears, sees and reads how red, green and blue a thing is.

A picture's mean colour, the words of a text, and the strength of three tones are the first three numbers of a vector; the
last three say which field it came from, as the fields of a trained space lie apart too (the modality gap).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from sensorium.core.protocols import Item
from sensorium.modalities.audio import Audio, wav_bytes
from sensorium.modalities.image import Image
from sensorium.modalities.text import Text

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
TONES = (400, 800, 1600)
RATE, GAP = 8000, 0.7


@dataclass
class Tricolour:
    fields: tuple = (Image("image", 8), Text("text"), Audio("audio", RATE, 0.25))
    fingerprint: str = "tricolour-1"
    calls: list = field(default_factory=list)

    def encode(self, **raws):
        self.calls.append({name: len(raw) for name, raw in raws.items()})
        known = {f.name: (i, f) for i, f in enumerate(self.fields)}
        return {name: np.stack([self._one(*known[name], raw) for raw in some]) for name, some in raws.items()}

    def _one(self, place, sense, raw):
        z = np.zeros(6, np.float32)
        z[:3] = {"image": self._see, "text": self._read, "audio": self._hear}[sense.kind](sense, raw)
        z[:3] /= max(np.linalg.norm(z[:3]), 1e-9)
        z[3 + place] = GAP
        return z / np.linalg.norm(z)

    def _see(self, sense, raw):
        return sense.prepare(raw)[sense.name].mean((0, 1)) / 255

    def _read(self, sense, raw):
        return [len(re.findall(colour, raw)) for colour in COLOURS]

    def _hear(self, sense, raw):
        strength = np.abs(np.fft.rfft(sense.prepare(raw)[sense.name]))
        return strength[[round(tone * sense.seconds) for tone in TONES]]


def folder(root: Path) -> list[Item]:
    """Six items as files: three complete, one without a sound, one of words alone, one of a sound alone."""
    items = []
    for i, (colour, rgb) in enumerate(COLOURS.items()):
        picture, sound = root / f"images/{colour}.png", root / f"audio/{colour}.wav"
        for path in (picture, sound):
            path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", (400, 200), rgb).save(picture)
        sound.write_bytes(wav_bytes(tone(i), RATE))
        captions = (f"a {colour} thing", f"{colour} {colour}")
        items.append(Item(colour, {"image": (picture,), "text": captions, "audio": (sound,)}, {"page": i}))
    mixed = root / "images/yellow.png"
    Pillow.new("RGB", (16, 16), (255, 255, 0)).save(mixed)
    items.append(Item("yellow", {"image": (mixed,), "text": ("red and green",)}))
    items.append(Item("words", {"text": ("blue and green",)}))
    items.append(Item("hum", {"audio": (root / "audio/blue.wav",)}))
    return items


def tone(i: int) -> np.ndarray:
    """A quarter of a second of tone number `i`."""
    return (0.5 * np.sin(2 * np.pi * TONES[i] * np.arange(RATE // 4) / RATE)).astype(np.float32)
