"""What a checkpoint says of clips, as a field; labels and layouts of the families that read clips."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sensorium.modalities.film import Film
from sensorium.modalities.picture import processing_of
from sensorium.pretrained.family import Folder, Json
from sensorium.pretrained.preprocess import PICTURES, check_comes_to, processing_said, ready_said
from sensorium.pretrained.rules import Layout

CLIPS = "video_preprocessor_config.json"
"""Where newer files of transformers say what older ones say in preprocessor_config.json."""
CONVOLUTION = Layout(lambda x: x.transpose(2, 3, 4, 1, 0), lambda x: x.transpose(4, 3, 0, 1, 2))
"""PyTorch's [out, in, frames, height, width] as [frames, height, width, in, out]."""


def film_field(
    folder: Folder, defaults: Json, frames: int, size: Sequence[int] | None, like: str = "pillow", told: bool = True
) -> tuple[Film, Json]:
    """The field of clips of `frames` frames, and how their numbers are normalised, as `picture_field` has both for pictures.

    `like`: see `Processing`. `told`: a folder that does not say how clips are made ready is an error, else `defaults` count.
    """
    parts, missing = ["video_processor", "image_processor"], None if told else {}
    where, said = ready_said(folder, "clips", [CLIPS, PICTURES], parts, missing)
    processing, pixels = processing_said(where, said, defaults, False)
    check_comes_to(where, processing, size)
    return Film("video", frames, replace(processing_of(processing), like=like)), pixels


def tubes(tube: int, side: int) -> Layout:
    """A strided convolution [out, in, tube, side, side] as the kernel of flat patches [tube·side·side·in, out]."""

    def write(x: np.ndarray) -> np.ndarray:
        return x.reshape(tube, side, side, -1, x.shape[1]).transpose(4, 3, 0, 1, 2)

    return Layout(lambda x: x.transpose(2, 3, 4, 1, 0).reshape(-1, x.shape[0]), write)


def labels_of(said: Json, count: int) -> list[str]:
    """The names of `count` classes by `id2label` of a config.json; those that transformers gives where it has none."""
    kinds = said.get("id2label") or {str(i): f"LABEL_{i}" for i in range(count)}
    return [kinds[str(i)] for i in range(len(kinds))]


def labels_said(labels: Sequence[str]) -> Json:
    """`labels_of`, the other way round."""
    if not labels:
        return {}
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
