"""The fields that suit some items, made from what their files are."""

from collections.abc import Iterable
from statistics import median

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.modalities import MODALITIES, Audio, Image, Sensor, Text, Video, sound_file

SOUNDS = 200
"""As many sounds are asked for their duration to tell how long the window has to be."""


def fields_for(items: Iterable[Item]) -> tuple[Modality, ...]:
    """A field for each kind that occurs: pictures of 64 pixels; text with the words of the captions; sounds at 16 kHz, with
    a window of their median duration, rounded up to half a second, from 0.5 to 10 s; 8 frames of each clip, of 64 pixels;
    traces as `Sensor.from_files` reads them; a modality of the user's own as it is made without arguments."""
    items = tuple(items)
    kinds = {kind for item in items for kind in item.raws}
    fields: list[Modality] = []
    if "image" in kinds:
        fields.append(Image(size=64))
    if "text" in kinds:
        fields.append(Text.from_captions(captions(items)))
    if "audio" in kinds:
        fields.append(Audio(rate=16000, seconds=_window([raw for item in items for raw in item.raws.get("audio", ())])))
    if "video" in kinds:
        fields.append(Video(size=64, frames=8))
    if "sensor" in kinds:
        fields.append(_sensor([raw for item in items for raw in item.raws.get("sensor", ())]))
    house = {Image.kind, Text.kind, Audio.kind, Video.kind, Sensor.kind}
    fields += [made() for kind, made in MODALITIES.items() if kind in kinds - house]  # a user's own
    return tuple(fields)


def captions(items: Iterable[Item]) -> list[str]:
    """All captions of some items, in their order."""
    return [caption for item in items for caption in item.raws.get("text", ())]


def _sensor(traces: list[Raw]) -> Sensor:
    """The field that suits some traces; one of a single channel where none can be read, which each is told when it is read."""
    try:
        return Sensor.from_files(traces)
    except BadFile:
        return Sensor(channels=1)


def _window(sounds: list[Raw]) -> float:
    """Seconds that suit some sounds, of which `SOUNDS` evenly spaced ones are looked at; 1 where none can be read."""
    durations = []
    for sound in sounds[:: max(1, len(sounds) // SOUNDS)]:
        try:
            durations.append(sound_file.duration(sound))
        except BadFile:  # told when it is read, or by `health.check`
            continue
    return float(np.clip(np.ceil(2 * median(durations) - 1e-3) / 2, 0.5, 10)) if durations else 1.0
