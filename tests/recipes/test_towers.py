"""The contrast that a recipe chooses: its losses, and a space that starts where the contrast wants it."""

import pytest

from sensorium.core.errors import UnknownName
from sensorium.losses import InfoNCE, Sigmoid, Triplet
from sensorium.modalities import Image, Sensor, Text
from sensorium.recipes.towers import pairs, space

FIELDS = (Image(size=16), Text(words=("red",), alphabet="der", length=4), Sensor())


def scalars(**dials) -> dict[str, float]:
    """What the space gives for a batch without any field."""
    return {name: float(x) for name, x in space(FIELDS[:2], 8, **dials).build(0)({}).items()}


def test_a_sigmoid_starts_at_its_own_temperature_and_bias_for_all_pairs_or_each():
    assert scalars() == pytest.approx({"scale": 1 / 0.07}, rel=1e-5)
    assert scalars(contrast="sigmoid", own_scales=True) == pytest.approx(
        {"scale": 10.0, "bias": -10.0, "scale/image-text": 10.0, "bias/image-text": -10.0}, rel=1e-5
    )


def test_every_two_fields_are_contrasted():
    assert pairs(FIELDS, "sigmoid") == {
        "image-text": (1.0, Sigmoid("image", "text")),
        "image-sensor": (1.0, Sigmoid("image", "sensor")),
        "text-sensor": (1.0, Sigmoid("text", "sensor")),
    }
    assert pairs(FIELDS[:2])["image-text"] == (1.0, InfoNCE("image", "text"))
    assert pairs(FIELDS[:2], "triplet")["image-text"] == (1.0, Triplet("image", "text"))
    for call in (pairs, lambda fields, contrast: space(fields, 8, contrast=contrast)):
        with pytest.raises(UnknownName, match="Did you mean 'sigmoid'"):
            call(FIELDS, "sigmod")
