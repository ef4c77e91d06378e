"""Tokenizers beside the words: bytes, a tokenizer.json, and those trained on captions; what they lose, keep and obey."""

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import MODALITIES, BadRaw, Text
from sensorium.modalities.text_pieces import Pieces
from sensorium.modalities.text_training import merges
from sensorium.modalities.text_unigram import best_cut
from sensorium.world import caption, scene

CAPTIONS = [*caption.render(scene.draw("train", np.arange(150)), "list"), "Ein großes Straßenbild 🎈, l'été!", "  two  spaces"]
BYTES = Text.bytes(length=4096)
TRAINED = {kind: Text.trained(CAPTIONS, kind, size=400) for kind in ("bpe", "wordpiece", "unigram")}
ALL = {"bytes": Text.bytes(length=64), **TRAINED}
WORDS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 4, "red": 5, "car": 6, "very": 7}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


def library(direction: str = "right", cut: str = "right", length: int | None = 6) -> Tokenizer:
    made = Tokenizer(models.WordLevel(dict(WORDS), unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    made.add_special_tokens(["<pad>", "<s>", "</s>"])
    marks = [("<s>", 1), ("</s>", 2)]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=marks)  # type: ignore[assignment]
    if length:
        made.enable_truncation(length, direction=cut)
        made.enable_padding(direction=direction, pad_id=0, pad_token="<pad>", length=length)
    return made


@given(TEXTS)
def test_bytes_and_bpe_give_every_text_back(text):
    assert BYTES.show(BYTES.prepare(text)["text"]) == text
    bpe = Text("text", (), "", 4096, TRAINED["bpe"].pieces)
    assert bpe.show(bpe.prepare(text)["text"]) == text
    assert 1 not in bpe.prepare(text)["text"], "nothing is unknown"


@pytest.mark.parametrize("text", ["[END] of [PAD]", "[START]", "##x ▁ Ġ", "a\ud800b"])
def test_marks_in_a_text_are_only_characters(text):
    bpe = Text("text", (), "", 64, TRAINED["bpe"].pieces)
    for field in (BYTES, bpe):
        x = field.prepare(text)["text"].tolist()
        assert x.count(2) == x.count(3) == 1
        assert field.show(np.array(x)) == text.replace("\ud800", "\ufffd")


def test_bytes_by_hand_and_cut_between_characters():
    assert BYTES.prepare("aß")["text"][:5].tolist() == [2, 4 + 97, 4 + 0xC3, 4 + 0x9F, 3]
    assert BYTES.vocabulary_size == 260 and BYTES.measure("aß") == (5, 4096)
    short = Text.bytes(length=5)
    assert short.show(short.prepare("aaßa")["text"]) == "aa" and short.show(short.prepare("aßaa")["text"]) == "aß"
    assert short.prepare("aaß")["text/mask"].tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("cut", ["left", "right"])
@pytest.mark.parametrize("text", ["a red car", "a very very very red blue car", "", "red <s> car"])
def test_a_tokenizer_json_does_what_the_library_does(tmp_path, direction, cut, text):
    made = library(direction, cut)
    made.save(str(tmp_path / "tokenizer.json"))
    field = Text.from_file(tmp_path / "tokenizer.json")
    expected, x = made.encode(text), field.prepare(text)
    assert x["text"].tolist() == expected.ids and x["text/mask"].tolist() == [bool(n) for n in expected.attention_mask]
    assert field.length == 6 and field.vocabulary_size == 8 and field.end == 2
    assert field.blank()["text"].tolist() == [0] * 6 and not field.blank()["text/mask"].any()
    assert field.show(x["text"]) == made.decode(expected.ids)


def test_the_file_may_go_once_it_is_read(tmp_path):
    path = tmp_path / "tokenizer.json"
    library(length=None).save(str(path))
    field = Text.from_file(path, length=5)
    path.unlink()
    again = MODALITIES["text"](**json.loads(json.dumps(asdict(field))))
    assert isinstance(again, Text) and again == field and hash(again) == hash(field)
    assert again.prepare("a red car")["text"].tolist() == [1, 4, 5, 6, 2] and again.measure("a very red car") == (6, 5)


def test_what_is_no_tokenizer_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(BadFile, match="no such file"):
        Text.from_file(path)
    for content in ("{", '{"model": 3}', "[" * 100_000):
        path.write_text(content)
        with pytest.raises(BadFile, match=r"tokenizer\.json: not a tokenizer\.json of Hugging Face"):
            Text.from_file(path)
    library(length=None).save(str(path))
    with pytest.raises(BadRaw, match="does not say how long"):
        Text.from_file(path)
    monkeypatch.setenv("SENSORIUM_LIMITS", "table_bytes=100")
    with pytest.raises(BadFile, match="at most 100 are read"):
        Text.from_file(path, length=5)
    for wrong in (lambda: Pieces("letters"), lambda: Pieces("library"), lambda: Pieces("bytes", "{}")):
        with pytest.raises(BadRaw, match="expected one of words, bytes, library"):
            wrong()
    with pytest.raises(BadRaw, match="expected one of bpe, wordpiece, unigram"):
        Text.trained(CAPTIONS, "sentencepiece")
    with pytest.raises(BadRaw, match="none with any text"):
        Text.trained([" "])
    with pytest.raises(BadRaw, match="size=100: the specials and the characters alone are 260 pieces"):
        Text.trained(CAPTIONS, size=100)


@pytest.mark.parametrize("kind", TRAINED)
def test_a_trained_field_knows_its_captions_and_is_a_modality(kind):
    field = TRAINED[kind]
    assert isinstance(field, Modality) and 100 < field.vocabulary_size <= 400
    again = MODALITIES["text"](**json.loads(json.dumps(asdict(field))))
    for said in CAPTIONS[:20]:
        x = field.prepare(said)
        assert x["text"][0] == 2 and x["text"][x["text/mask"]][-1] == 3 and 1 not in x["text"]
        assert field.show(x["text"]) == said and np.array_equal(again.prepare(said)["text"], x["text"])
        assert x["text/mask"].sum() < 0.6 * (2 + len(said)), "pieces are longer than characters"
    loud = {"bpe": "Ein GROSSES Bild", "wordpiece": "ein grosses bild", "unigram": "Ein [UNK]SSES [UNK]ild"}
    assert field.show(field.prepare("Ein GROSSES Bild")["text"]) == loud[kind]


@pytest.mark.parametrize("kind", TRAINED)
def test_the_order_of_captions_does_not_matter(kind):
    assert Text.trained(CAPTIONS[::-1], kind, size=400) == TRAINED[kind]


@pytest.mark.parametrize("kind", ALL)
def test_a_field_that_was_used_goes_to_another_process(kind):
    said = ALL[kind].prepare("a red circle")["text"]
    again = pickle.loads(pickle.dumps(ALL[kind]))
    assert again == ALL[kind] and np.array_equal(again.prepare("a red circle")["text"], said)


def test_training_is_the_same_in_every_process():
    code = (
        "import sys, hashlib; from sensorium.modalities import Text\n"
        "captions = sys.stdin.read().splitlines()\n"
        "made = [Text.trained(captions, kind, 400).pieces.json for kind in ('bpe', 'wordpiece', 'unigram')]\n"
        "print([hashlib.sha256(one.encode()).hexdigest() for one in made])"
    )
    said = "\n".join(CAPTIONS[:60])
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=said,
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(runs[0]) > 190


def test_merges_by_hand():
    """Sennrich et al. 2016, figure 1, with ties by the alphabet."""
    words = {tuple("low·"): 5, tuple("lower·"): 2, tuple("newest·"): 6, tuple("widest·"): 3}
    made = merges(words, 4, lambda a, b: a + b, set("lowernstid·"))
    assert made == [("e", "s"), ("es", "t"), ("est", "·"), ("l", "o")]
    assert merges({("a", "a", "a", "a"): 2}, 9, lambda a, b: a + b, {"a"}) == [("a", "a"), ("aa", "aa")]


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=8))
def test_merges_equal_counting_anew_each_time(words):
    counts = {tuple(word): n for word, n in Counter(words * 2).items()}
    spelled, expected = dict(counts), []
    for _ in range(6):
        pairs = Counter()
        for word, n in spelled.items():
            for pair in pairwise(word):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        expected.append(best)
        again: Counter[tuple[str, ...]] = Counter()
        for word, n in spelled.items():
            parts, i = [], 0
            while i < len(word):
                two = word[i : i + 2] == best
                parts.append("".join(word[i : i + 2]) if two else word[i])
                i += 1 + two
            again[tuple(parts)] += n
        spelled = dict(again)
    got = merges(counts, 99, lambda a, b: a + b, set("abc"))
    assert got[: len(expected)] == expected


def test_the_likeliest_cut():
    scores = {"a": -3.0, "b": -3.0, "ab": -4.0, "ba": -2.0, "aba": -5.5}
    assert best_cut("aba", scores) == ["a", "ba"] and best_cut("ba", scores, whole=False) == ["b", "a"]


def test_a_word_is_one_piece_of_each_trained_kind():
    for kind, field in TRAINED.items():
        x = field.prepare("a red circle")
        assert x["text/mask"].sum() == 5, kind


def test_configurations_of_before_still_load():
    old = {"name": "text", "words": ["red", "circle"], "alphabet": "abcdefghijklmnopqrstuvwxyz", "length": 8}
    field = MODALITIES["text"](**old)
    assert isinstance(field, Text)
    assert field.prepare("a red circle")["text"].tolist() == [2, 4, 56, 57, 3, 0, 0, 0] and field.end == 3
