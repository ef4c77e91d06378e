"""Descriptions: what most captions say is said, what some say is hedged, and what few say is not said at all."""

from copy import copy

import pytest

from sensorium.models.describing import described

TOP = "in the top left a small red circle and in the centre a large striped blue star"


def test_where_captions_agree_it_is_said_plainly_in_whole_sentences():
    said = described([TOP] * 3 + ["a big striped blue star in the middle and a little plain red circle in the top left"])
    assert said == (
        "The picture shows two things. In the top left there is a small red circle. "
        "In the centre there is a large striped blue star."
    )
    assert [sentence.sure for sentence in said.sentences] == [1.0, 1.0, 1.0]
    assert copy(said) == said and copy(said).sentences == said.sentences


def test_what_is_not_sure_is_hedged_factor_by_factor_with_what_else_it_may_be():
    said = described([TOP] * 6 + [TOP.replace("striped", "dotted").replace("red circle", "orange circle")] * 4)
    number, first, second = said.sentences
    assert number == ("The picture shows two things.", 1.0)
    assert first == ("In the top left there is a small, perhaps red or orange, circle.", 0.6)
    assert second == ("In the centre there is a large, perhaps striped or dotted, blue star.", 0.6)
    (_, only) = described(["in the top an orange little cross"] + ["a small orange cross in the top"] * 6).sentences
    assert only == ("In the top there is a small orange cross.", 1.0), "what cannot be read does not count where most can be"
    (_, shape) = described(["a small red cross in the top"] * 5 + ["a small red star in the top"] * 3, "audio").sentences
    assert shape.text == "In the top there is a small red thing, perhaps a cross or a star."


def test_a_thing_that_only_some_see_is_there_perhaps_and_one_that_few_see_is_not():
    few = TOP + " and in the bottom a small green ring"
    said = described([TOP] * 6 + [few] * 4, "audio")
    assert said.sentences[0].text == "The sound tells of two things, or perhaps three things."
    assert said.sentences[3] == ("In the bottom there is perhaps a small green ring.", 0.4)
    assert "ring" not in described([TOP] * 9 + [few])


def test_captions_in_any_words_are_weighed_clause_by_clause():
    assert described(["a dog on a beach and a red ball"] * 3 + ["a dog on a beach"] * 5 + ["a cat"]) == (
        "The picture shows a dog on a beach. Perhaps also: a red ball."
    )
    (none,) = described([f"thing {i}" for i in range(8)]).sentences
    assert none == ("Perhaps: thing 0.", 1 / 8)
    with pytest.raises(ValueError, match="no captions"):
        described([])
