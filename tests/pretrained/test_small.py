"""Small models made on the spot: in the layouts of their families, with tokenizers that know the words at hand."""

import json

import numpy as np
import pytest

from sensorium import Sensorium, load
from sensorium.core.errors import UnknownName
from sensorium.modalities import Text
from sensorium.pretrained.small import small

TEXTS = ["a purple cross in the centre", "It's 2 cats"]
PICTURE = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)


@pytest.mark.parametrize("family", ["clip", "vit", "bert"])
def test_it_is_saved_and_loaded_as_one_of_its_family(family, tmp_path):
    card, fields = small(family, TEXTS, size=12, patch=4, width=8, depth=1, heads=2, length=9)
    model = Sensorium(card.build(0), fields, card, family)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.family == family and json.loads((tmp_path / "config.json").read_text())["model_type"] == family
    raws = {name: raw for name, raw in {"image": PICTURE, "text": TEXTS}.items() if model.supports(name)}
    for name, units in model.encode(**raws).items():
        np.testing.assert_array_equal(again.encode(**{name: raws[name]})[name], units)
        assert units.shape[1] == 8 and np.ptp(units) > 0.1


@pytest.mark.parametrize(("family", "length", "others"), [("clip", 8, 4), ("bert", 8, 4)])
def test_words_at_hand_are_one_token_each_and_others_are_spelled(family, length, others):
    _, fields = small(family, TEXTS, length=16)
    [field] = [field for field in fields if isinstance(field, Text)]
    known, other = (field.prepare(text)["text/mask"].sum() for text in (TEXTS[0], "xyz a"))
    assert known == length and other == 2 + others  # with the two marks about it
    assert field.prepare("a " * 40)["text/mask"].sum() == 16


def test_a_family_that_has_no_small_model_is_told():
    with pytest.raises(UnknownName, match=r"'clap'.*clip"):
        small("clap")
