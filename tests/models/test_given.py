"""What is refused before anything is computed, and what is said of it."""

import numpy as np
import pytest
from pretrained.test_families import loaded

from sensorium.modalities import BadRaw
from sensorium.models.given import checked, cosines, prompts

PIXELS, IDS, MASK = np.zeros((2, 30, 30, 3), np.float32), np.ones((2, 13), np.int32), np.ones((2, 13), bool)
WRONG = {
    "the channels come last": {"image": PIXELS.transpose(0, 3, 1, 2)},
    r"float32\[30, 30, 3\], expected pictures \[B H W 3\]$": {"image": PIXELS[0]},
    r"\[2, 30, 30, 4\], expected pictures": {"image": np.zeros((2, 30, 30, 4), np.uint8)},
    "u8, or normalised ones as floats": {"image": PIXELS.astype(np.int64)},
    "one row or more": {"image": PIXELS[:0]},
    "no array of numbers: see prepare": {"text": ["a cat"]},
    r"int32\[13\], expected token ids": {"text": IDS[0]},
    "expected token ids .*, whole numbers": {"text": IDS.astype(np.float32)},
    r"the id 1001, where the vocabulary has 0 to 522": {"text": IDS + 1000},
    "the id -3,": {"text": IDS - 4},
    r"bool\[2, 9\] beside text \[2, 13\]: expected one bool for each id": {"text": IDS, "text/mask": MASK[:, :9]},
    r"int32\[2, 13\] beside": {"text": IDS, "text/mask": MASK.astype(np.int32)},
    "a mask without its 'text'": {"text/mask": MASK},
    "'text/msk' is nothing that is read": {"text": IDS, "text/msk": MASK},
}


@pytest.mark.parametrize("said", WRONG)
def test_arrays_that_an_encoder_would_misread_are_refused(said):
    with pytest.raises(BadRaw, match=said):
        checked(loaded("clip").model, WRONG[said])


def test_what_a_decoder_reads_is_looked_over_too():
    pixels, ids = np.zeros((1, 17, 17, 3), np.float32), np.ones((1, 5), np.int32)
    for name, field in (("blip", "text"), ("blip_vqa", "question"), ("blip_vqa", "answer"), ("whisper", "text")):
        with pytest.raises(BadRaw, match=f"{field} has the id 5000, where the vocabulary has 0 to"):
            checked(loaded(name).model, {field: 5000 * ids})
    with pytest.raises(BadRaw, match="the channels come last"):
        checked(loaded("blip").model, {"image": pixels.transpose(0, 3, 1, 2), "text": ids})
    given = {"image": pixels, "text": ids, "text/mask": ids > 0}
    assert checked(loaded("blip").model, given) == given


def test_arrays_that_it_reads_are_as_they_were():
    given = {"image": PIXELS.astype(np.float64), "text": IDS.astype(np.int64), "text/mask": MASK}
    assert checked(loaded("clip").model, given) == given
    assert checked(loaded("vit").model, {"image": PIXELS.astype(np.uint8)})["image"].dtype == np.uint8


def test_every_label_stands_in_every_template():
    assert prompts(["cat", "dog"], ["a {}", "{} or {}"]) == ["a cat", "cat or cat", "a dog", "dog or dog"]
    for labels, templates in (("cat", ["{}"]), (["cat"], "a {}"), ([], ["{}"]), (["cat"], [])):
        with pytest.raises(BadRaw, match="expected a list of one text or more"):
            prompts(labels, templates)
    with pytest.raises(BadRaw, match=r"the template 'a cat': expected \{\} in each template"):
        prompts(["cat"], ["a {}", "a cat"])


def test_cosines_are_of_rows_of_one_length():
    a = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(cosines(a, a[:2]), a[:, :2])
    for b in (a[0], np.eye(2, dtype=np.float32), a[None]):
        with pytest.raises(BadRaw, match="expected rows of one length"):
            cosines(a, b)
