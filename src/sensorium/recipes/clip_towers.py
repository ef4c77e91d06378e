"""A small CLIP from random numbers (Radford et al. 2021): what comes of it can be given back in the layout of that family."""

from collections.abc import Iterable, Sequence
from typing import Any

from sensorium.core.protocols import Modality
from sensorium.core.trainer import BadDial
from sensorium.modalities import Image, Text
from sensorium.modalities.picture import Picture, Processing
from sensorium.pretrained.clip import PICTURES
from sensorium.pretrained.clip_training import trained_field
from sensorium.training import Card

PATCH, PIECES, LONGEST = 8, 4000, 77
LAYERS: dict[str, Any] = {
    **{"width": 128, "depth": 4, "heads": 4, "hidden": 512},
    **{"activation": "quick_gelu", "eps": 1e-5},
}
"""Of both towers: what two cores train in minutes. OpenAI's smallest has twelve layers of width 768 and 512."""


def clip_fields(fields: Sequence[Modality], captions: Iterable[str]) -> tuple[Picture, Text]:
    """Pictures of the size of the field that was there, prepared as CLIP does it, and texts of pieces that are learned from some
    captions. A `BadDial` where there are no pictures or no texts."""
    sizes = [field.size for field in fields if isinstance(field, Image)]
    if not sizes or not any(isinstance(field, Text) for field in fields):
        kinds = ", ".join(field.kind for field in fields) or "nothing"
        raise BadDial(f"towers='clip': a CLIP is of pictures and texts, and there is {kinds}: use towers='house'")
    picture = Picture("image", Processing((sizes[0],), int(PICTURES["resample"]), (sizes[0], sizes[0])))
    return picture, trained_field(captions, PIECES, LONGEST)


def clip_space(picture: Picture, text: Text, width: int) -> Card:
    """The card of a CLIP over these fields, of vectors of `width`."""
    pixels = {"scale": PICTURES["rescale_factor"], "mean": PICTURES["image_mean"], "std": PICTURES["image_std"]}
    encoders = {
        "image": {
            **{"encoder": "published_vit", "form": "clip", "size": list(picture.size), "patch": PATCH},
            **{"layers": dict(LAYERS), "pixels": pixels},
        },
        "text": {
            **{"encoder": "published_text", "form": "clip", "end": text.end, "vocabulary": text.vocabulary_size},
            **{"length": text.length, "layers": dict(LAYERS)},
        },
    }
    return Card("space", {"encoders": encoders, "width": width})
