"""A tiny experiment: pictures of two colours and captions that name them, and towers of a few hundred numbers."""

from itertools import product
from string import ascii_lowercase

import numpy as np
import optax

from sensorium.core.protocols import Item
from sensorium.data import Folder
from sensorium.modalities import Image, Text
from sensorium.recipes.towers import pairs, space
from sensorium.training import Card, Experiment, adamw

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
FIELDS = (Image(size=8), Text(words=("and", *COLOURS), alphabet=ascii_lowercase, length=6))
DIALS = {"convnet": {"widths": [6, 8]}, "text_transformer": {"width": 8, "heads": 2, "window": 3}}


def items() -> list[Item]:
    """Sixteen: a picture (an array) with a left and a right colour, and two captions; the last has none."""
    made = []
    for left, right in product(COLOURS, repeat=2):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[:, :4], picture[:, 4:] = COLOURS[left], COLOURS[right]
        made.append(Item(f"{left}-{right}", {"image": (picture,), "text": (f"{left} and {right}", f"{left} {right}")}))
    made[-1] = Item(made[-1].id, {"image": made[-1].raws["image"]})
    return made


def card() -> Card:
    return space(FIELDS, 8, DIALS)


def experiment(
    steps: int = 4, batch: int = 8, seed: int = 0, optimizer: optax.GradientTransformation | None = None, **changes
) -> Experiment:
    given = {
        "recipe": "tiny",
        "arguments": {"steps": steps, "batch": batch, "seed": seed},
        "fields": FIELDS,
        "source": Folder(items(), FIELDS),
        "model": card(),
        "losses": pairs(FIELDS),
        "optimizer": optimizer or adamw(1e-2, steps),
        "steps": steps,
        "batch": batch,
        "seed": seed,
    }
    return Experiment(**(given | changes))
