import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.protocols import Modality
from sensorium.modalities import MODALITIES, BadRaw, Text
from sensorium.modalities.text import identity, unknown_words
from sensorium.modalities.tokenizer import ASCII, plain, vocabulary

CAPTIONS = ["a red circle above a blue square", "A Red star.", "ein großes Straßenbild 🎈", "a dog"]
FIELD = Text.from_captions(CAPTIONS)
PIECES = vocabulary(FIELD.alphabet, FIELD.words)


def test_a_caption_is_start_pieces_end_and_pads():
    x = FIELD.prepare("a red dog")
    names = [PIECES[i] for i in x["text"]]
    assert names[:5] == ["[START]", "a", "red", "dog", "[END]"] and set(names[5:]) == {"[PAD]"}
    assert x["text/mask"].tolist() == [True] * 5 + [False] * (FIELD.length - 5)
    assert x["text"].dtype == np.int32 and x["text/id"].dtype == np.int32 and x["text/id"].shape == ()


@given(st.lists(st.text(max_size=90), min_size=1, max_size=6))
def test_a_batch_equals_its_rows_and_the_mask_its_tokens(captions):
    batch = FIELD.prepare_batch(captions)
    for row, caption in enumerate(captions):
        one = FIELD.prepare(caption)
        assert one.keys() == batch.keys() == FIELD.blank().keys()
        for key, value in one.items():
            assert np.array_equal(value, batch[key][row]) and value.dtype == FIELD.blank()[key].dtype
            assert value.shape == FIELD.blank()[key].shape
        assert np.array_equal(one["text"] != 0, one["text/mask"])
        assert one["text"][one["text/mask"]][-1] == 3


def test_long_text_is_cut_and_keeps_its_end():
    field = Text(length=6)
    x = field.prepare("abcdefghij")["text"]
    assert [vocabulary(field.alphabet, field.words)[i] for i in x] == ["[START]", "a", "##b", "##c", "##d", "[END]"]
    assert field.measure("abcdefghij") == (12, 6)


def test_words_that_were_never_learned_are_told_once():
    field = Text(words=("red", "blaß"), alphabet=ASCII)
    assert field.unknown("A red Dog, a blue dog and x 12 4th: BLAß") == ["dog", "blue", "and"], "no letters, no numbers"
    assert Text.bytes().unknown("dog") == Text(words=()).unknown("dog") == [], "of what is made of pieces each word is made"
    told = [(field, "dog"), (Text("other", ("dog",)), "cat dog"), (field, Path("dog.txt")), (field, "dog red")]
    assert unknown_words(told) == ["dog", "cat"]


def test_words_go_by_count_then_alphabet_whatever_the_order():
    captions = ["dog cat", "dog bee", "ant dog", "bee ant x"]
    field = Text.from_captions(captions)
    assert field.words == ("dog", "ant", "bee", "cat")
    assert Text.from_captions(captions[::-1]) == field
    assert Text.from_captions(captions, most_words=2).words == ("dog", "ant")
    assert field.length == 5 and Text.from_captions(captions, longest=4).length == 4
    assert field.vocabulary_size == 4 + 2 * len(ASCII) + 4


def test_every_character_that_was_seen_is_known():
    assert FIELD.alphabet == ASCII + "ß🎈"
    for caption in CAPTIONS:
        assert 1 not in FIELD.prepare(caption)["text"]
    assert 1 in FIELD.prepare("猫")["text"]
    assert FIELD.show(FIELD.prepare("Ein STRAßENBILD 🎈")["text"]) == "ein straßenbild 🎈"


def test_equal_captions_have_one_id_and_others_another():
    same = ["A red  circle", "a red circle ", "\ta RED\ncircle"]
    assert len({int(FIELD.prepare(text)["text/id"]) for text in same}) == 1
    assert identity("Straße") == identity("STRASSE") and identity("cafe\u0301") == identity("café")
    ids = {identity(f"caption {i}") for i in range(5000)}
    assert len(ids) == 5000 and min(ids) >= 0 and max(ids) < 2**31
    assert identity("a red circle") == 2008574724  # the same on every machine and in every version


def test_a_batch_of_captions_is_read_faster_than_by_the_library_alone():
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    captions = [" ".join(rng.choice(words, 20)) for _ in range(128)]
    field = Text.from_captions(captions)
    library = plain(field.alphabet, field.words)

    def fastest(work) -> float:
        seconds = []
        for _ in range(10):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    ours = fastest(lambda: field.prepare_batch(captions))
    assert ours < fastest(lambda: [library.encode(caption, add_special_tokens=False).ids for caption in captions])


def test_it_is_a_modality_that_json_can_hold():
    assert isinstance(FIELD, Modality)
    again = MODALITIES["text"](**json.loads(json.dumps(asdict(FIELD))))
    assert isinstance(again, Text) and again == FIELD and hash(again) == hash(FIELD) and isinstance(again.words, tuple)
    assert np.array_equal(again.prepare(CAPTIONS[0])["text"], FIELD.prepare(CAPTIONS[0])["text"])


def test_what_is_no_text_is_refused():
    with pytest.raises(BadRaw, match="give a string"):
        FIELD.prepare(3)
    with pytest.raises(BadRaw, match="none with any text"):
        Text.from_captions(["", " "])
    with pytest.raises(BadRaw, match="'red' twice"):
        Text(words=("red", "red"))
    with pytest.raises(BadRaw, match="'a' twice"):
        Text(words=("a",))
    with pytest.raises(BadRaw, match="at least 3"):
        Text(length=2)
