"""BLIP: captions and answers, word by word, against what transformers wrote with the same small checkpoints."""

import json
from copy import copy
from functools import cache

import numpy as np
import pytest
from pretrained.making.blip import ANSWER_WORDS, ANSWERS, BEAMS, PROMPT, WORDS
from pretrained.making.common import PICTURES, several
from pretrained.test_families import NEAR, copied, loaded, off, reference

import sensorium
from sensorium.core.errors import BadFile, UnknownName
from sensorium.decoders import Sampling
from sensorium.modalities import BadRaw
from sensorium.modalities.transcript import NotAsked
from sensorium.models.telling import Told

PATHS = sorted(PICTURES.iterdir())


@cache
def greedy() -> list[Told]:
    return loaded("blip").caption(PATHS, length=WORDS)


def words(ids: np.ndarray) -> list[str]:
    """Texts of tokens as transformers wrote them, with the mark that begins them."""
    return [loaded("blip").field("text").show(row[1:]) for row in ids]


def test_captions_are_those_of_the_reference():
    expected = reference("blip")
    texts = [str(one) for one in greedy()]
    assert texts == list(expected["caption/texts"]) == words(expected["caption/ids"])
    ends = (expected["caption/ids"] == 3).sum(1)
    assert len(set(texts)) > 6 and 2 < ends.sum() < len(texts), "pictures are told apart, and some texts end early"


def test_captions_go_on_from_a_prompt_as_those_of_the_reference():
    expected = list(reference("blip")["caption/prompted_texts"])
    texts = loaded("blip").caption(PATHS, prompt=PROMPT, length=WORDS)
    assert texts == expected and all(str(text).startswith(PROMPT) for text in texts) and len(set(texts)) > 6


def test_a_beam_search_finds_the_texts_and_scores_of_the_reference_and_never_worse_ones_than_greedy_writing():
    expected = reference("blip")
    found = loaded("blip").caption(PATHS, beams=BEAMS, length=WORDS)
    assert [str(one) for one in found] == words(expected["caption/beams"])
    scores, plain = (np.array([one.score for one in each]) for each in (found, greedy()))
    assert np.abs(scores - expected["caption/beam_scores"]).max() < 1e-4
    assert (scores >= plain - 1e-5).all() and (scores > plain + 0.1).sum() > 2


def test_a_picture_is_told_of_alone_as_among_others_and_drawn_words_are_the_same_for_the_same_seed():
    model, how = loaded("blip"), {"length": WORDS, "sampling": Sampling(temperature=3.0)}
    assert model.caption(PATHS[3], length=WORDS) == [str(greedy()[3])]
    drawn = model.caption(PATHS, seed=4, **how)
    assert copy(drawn[0]) == drawn[0] and copy(drawn[0]).score == drawn[0].score
    assert drawn == model.caption(PATHS, seed=4, **how) != model.caption(PATHS, seed=5, **how)


def test_answers_are_those_of_the_reference_with_any_words_and_from_a_list():
    model, expected, questions = loaded("blip_vqa"), reference("blip_vqa"), several(len(PATHS))
    answers = model.ask(PATHS, questions, length=ANSWER_WORDS)
    assert answers == list(expected["answer/texts"]) and len(set(answers)) > 5
    chosen = model.ask(PATHS, questions, answers=ANSWERS)
    assert [str(one) for one in chosen] == [ANSWERS[i] for i in expected["answer/scores"].argmax(1)]
    assert len({str(one) for one in chosen}) > 2
    assert off([one.score for one in chosen], expected["answer/scores"].max(1)) < NEAR


def test_one_question_may_stand_for_all_pictures_and_any_other_number_is_told():
    model = loaded("blip_vqa")
    one, each = (model.ask(PATHS[:3], asked, length=ANSWER_WORDS) for asked in ("the cat", ["the cat"] * 3))
    assert one == each
    with pytest.raises(BadRaw, match="3 of image and 2 of question: expected as many"):
        model.ask(PATHS[:3], ["a", "b"])
    with pytest.raises(BadRaw, match="each of them once"):
        model.ask(PATHS[0], "a", answers=["cat", "cat"])


def test_a_text_is_no_list_of_answers_and_no_seed_is_negative():
    """It is a sequence of letters, of which one would be chosen."""
    with pytest.raises(BadRaw, match="answers='cat': expected a list of texts"):
        loaded("blip_vqa").ask(PATHS[0], "a", answers="cat")
    with pytest.raises(ValueError, match="seed=-1: expected a whole number of 0 or more"):
        loaded("blip").caption(PATHS[0], seed=-1)


def test_a_tokenizer_that_is_given_back_makes_what_generate_takes(tmp_path):
    loaded("blip_vqa").save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_input_names"] == ["input_ids", "attention_mask"]


def test_questions_and_answers_are_made_ready_as_the_reference_does_it():
    model, numbers = loaded("blip_vqa"), reference("blip_vqa")
    texts = several(len(PATHS))
    for name, given in (("question", texts), ("answer", texts[::-1])):
        prepared = model.prepare(**{name: given})
        assert all((prepared[key] == numbers[f"given/{key}"]).all() for key in prepared)
        assert prepared.keys() == {name, f"{name}/mask"}


def test_what_a_model_was_not_trained_to_do_is_told_with_the_name_of_one_that_was():
    with pytest.raises(NotAsked, match=r"see ask\. Salesforce/blip-image-captioning-base captions"):
        loaded("blip_vqa").caption(PATHS[0])
    with pytest.raises(NotAsked, match=r"see caption\. Salesforce/blip-vqa-base answers"):
        loaded("blip").ask(PATHS[0], "what?")
    with pytest.raises(NotAsked, match=r"image, text has no decoder.*blip-image-captioning-base captions"):
        loaded("clip").caption(PATHS[0])
    with pytest.raises(UnknownName, match="vectors of image, and none of 'text' alone"):
        loaded("blip").encode(text="a")
    with pytest.raises(BadRaw, match="25 words after a prompt of 1 tokens: this model has 24 places"):
        loaded("blip").caption(PATHS[0], length=25)
    with pytest.raises(BadRaw, match="at most 13 are read"):
        loaded("blip").caption(PATHS[0], prompt="the cat " * 9)


def test_class_defaults_are_those_of_transformers(tmp_path):
    """A file that leaves the heads out means 8, which 20 numbers cannot be shared among."""
    folder = copied("blip", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["text_config"]["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadFile, match=r"describes no model .* that can be built.*20.*8 heads"):
        sensorium.load(folder)


def test_a_model_that_tells_is_kept_in_the_layout_of_the_house_too(tmp_path):
    model = loaded("blip")
    kept = sensorium.Sensorium(model.model, model.fields, model.card)
    kept.save_pretrained(tmp_path)
    again = sensorium.load(tmp_path)
    assert again.family is None and again.fingerprint == model.fingerprint
    assert all((a == b).all() for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert [field.name for field in again.fields] == ["image", "text"]


def test_the_command_line_says_the_same(capsys, monkeypatch):
    from sensorium.cli.main import main

    monkeypatch.setattr(sensorium, "load", lambda name: loaded(name))
    assert main(["caption", *map(str, PATHS), "--model", "blip", "--beams", str(BEAMS), "--length", str(WORDS), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["captions"]
    assert [row["caption"] for row in rows] == words(reference("blip")["caption/beams"])
    assert [row["file"] for row in rows] == list(map(str, PATHS))
    expected, question = reference("blip_vqa")["answer/texts"], several(4)[3]
    assert main(["ask", str(PATHS[3]), question, "--model", "blip_vqa", "--length", str(ANSWER_WORDS)]) == 0
    assert capsys.readouterr().out == f"{expected[3]}\n"
