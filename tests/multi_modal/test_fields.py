"""Tokenizers and transforms that a user brings."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from data.trees import three_folders
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from sensorium.core.protocols import Modality
from sensorium.modalities.text import identity
from sensorium.multi_modal.fields import picture_field, text_field
from sensorium.multi_modal.folder import MultiModalDataset

CAPTIONS = ["a red car", "a car"]
WORDS = {"<pad>": 0, "</s>": 1, "a": 2, "red": 3, "car": 4, "<unk>": 5}


def library() -> Tokenizer:
    made = Tokenizer(models.WordLevel(dict(WORDS), unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])  # type: ignore[assignment]
    return made


def hugging(text, padding=False, truncation=False, max_length=0):
    """As the callables of transformers answer; `return_tensors` would make them batches of one."""
    assert padding == "max_length" and truncation
    ids = [*(WORDS[word] for word in text.split()), 1][:max_length]
    fill = max_length - len(ids)
    return {"input_ids": [ids + [0] * fill], "attention_mask": [[1] * len(ids) + [0] * fill]}


def plain(text):
    return np.array([WORDS[word] for word in text.split()] + [1])


@pytest.mark.parametrize("tokenizer", [library(), hugging, plain], ids=["tokenizers", "transformers", "callable"])
def test_any_tokenizer_gives_ids_and_a_mask_of_one_length(tokenizer):
    field = text_field(tokenizer, CAPTIONS, 6)
    assert isinstance(field, Modality)
    arrays = field.prepare("a red car")
    assert arrays["text"].tolist() == [2, 3, 4, 1, 0, 0] and arrays["text"].dtype == np.int32
    assert arrays["text/mask"].tolist() == [True] * 4 + [False] * 2
    assert arrays["text/id"] == identity("A  red car")
    assert {key: (x.shape, x.dtype) for key, x in arrays.items()} == {key: (x.shape, x.dtype) for key, x in field.blank().items()}
    assert field.show(arrays["text"]) == [2, 3, 4, 1]


def test_a_tokenizer_of_the_library_is_left_as_it_was_and_keeps_its_end_where_it_cuts():
    tokenizer = library()
    tokenizer.enable_padding(pad_id=5, pad_token="<unk>", length=9)
    before = tokenizer.to_str()
    field = text_field(tokenizer, CAPTIONS, 3)
    assert field.prepare("a red car")["text"].tolist() == [2, 3, 1]
    assert field.prepare("car")["text"].tolist() == [4, 1, 5] and field.prepare("car")["text/mask"].tolist() == [
        True,
        True,
        False,
    ]
    assert json.loads(tokenizer.to_str()) == json.loads(before)


def test_ids_that_are_too_many_are_told_and_not_cut(tmp_path):
    root = three_folders(tmp_path, 2)
    dataset = MultiModalDataset(root, tokenizer=lambda text: [len(word) for word in text.split()], max_length=4)
    for draw in range(8):
        batch = dataset.read([0, 1], draw)
        assert np.all(batch["text/mask"].sum(1) == 4 * batch["text/here"])
    assert any("gives 5 ids for a caption" in problem.cause and "max_length=4" in problem.cause for problem in dataset.problems)


def test_what_is_no_tokenizer_is_told():
    for bad, told in (
        (7, "tokenizer is a int: expected None"),
        (lambda text: text, "gives a str for one caption: expected a list of whole numbers"),
        (lambda text: [[1], [2]], "expected a list of whole numbers"),
        (lambda text: [0.5], "expected a list of whole numbers"),
        (lambda text, max_length, padding, truncation: [1, 2], "gives a list: expected input_ids and attention_mask"),
        (
            lambda text, max_length, padding, truncation: {"input_ids": [1, 2], "attention_mask": [1]},
            "2 input_ids and an attention_mask of 1",
        ),
    ):
        with pytest.raises(ValueError, match=told):
            text_field(bad, CAPTIONS, 5)
    with pytest.raises(ValueError, match="max_length=0"):
        text_field(plain, CAPTIONS, 0)


def test_a_transform_makes_the_pictures(tmp_path):
    root = three_folders(tmp_path, 3)
    dataset = MultiModalDataset(root, image_transform=lambda picture: np.asarray(picture.resize((6, 5))) / 255)
    batch = dataset.read([0, 2])
    assert batch["image"].shape == (2, 5, 6, 3) and batch["image"].dtype == np.float32 and 0.1 < batch["image"].std() < 1
    noise = np.random.default_rng(0)
    random = MultiModalDataset(root, image_transform=lambda picture: noise.uniform(size=(2, 2, 3)))
    assert not np.array_equal(random[0]["image"], random[0]["image"]), "a random transform is called anew each time"


def test_a_transform_that_does_not_fit_is_told(tmp_path):
    root = three_folders(tmp_path, 2)
    with pytest.raises(ValueError, match=r"arrays of \[3, 8, 8\], with the channels first.*\.transpose\(1, 2, 0\)"):
        picture_field(lambda picture: np.zeros((3, 8, 8), np.float32))
    with pytest.raises(ValueError, match="expected an array of numbers"):
        picture_field(lambda picture: SimpleNamespace())
    with pytest.raises(ValueError, match=r"image_transform makes .*\[40, 50, 3\].*cut to one size"):
        MultiModalDataset(root, image_transform=np.asarray)[0]
