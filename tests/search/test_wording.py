import math

import pytest
from search.fake import Tricolour

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.search import Collection
from sensorium.search.wording import K1, B, Wording, query, words

SAID = {"a": "red red house", "b": "a Red car by the green house", "c": "IMG_2041", "d": "blue", "e": "grün, grün"}


@pytest.fixture(scope="module")
def made() -> Collection:
    items = [Item(id, {"text": (text,)}, {"n": i}) for i, (id, text) in enumerate(SAID.items())]
    return Collection.update(Tricolour(), items, "memory:")


def test_scores_are_those_of_bm25(made):
    lengths = {id: len(words(text)) for id, text in SAID.items()}
    usual = sum(lengths.values()) / len(lengths)

    def bm25(count: int, having: int, id: str) -> float:
        rare = math.log(1 + (len(SAID) - having + 0.5) / (having + 0.5))
        return rare * count * (K1 + 1) / (count + K1 * (1 - B + B * lengths[id] / usual))

    wording = Wording(made)
    found = wording.find("RED house", 9)
    assert [id for id, _ in found] == ["a", "b"]
    assert [score for _, score in found] == pytest.approx(
        [bm25(2, 2, "a") + bm25(1, 2, "a"), bm25(1, 2, "b") + bm25(1, 2, "b")], rel=1e-5
    )
    assert wording.find("gru\u0308n", 9)[0][0] == "e" and wording.find("nowhere", 9) == [] == wording.find("", 9)
    assert [id for id, _ in wording.find("red", 9, {"b"})] == ["b"]


def test_more_words_than_are_held_are_refused(made, monkeypatch):
    monkeypatch.setattr("sensorium.search.wording.MOST", 12)
    assert len(Wording(made).items) == 5  # 2 + 7 + 1 + 1 + 1 different words
    monkeypatch.setattr("sensorium.search.wording.MOST", 11)
    with pytest.raises(SensoriumError, match="at most 11 different words of all items together in memory: the first 5 of 5"):
        Wording(made)


def test_words_that_the_model_does_not_know_find_what_says_them(made):
    wording, model = Wording(made), Tricolour()
    assert "c" in [hit.id for hit in query(wording, model, "img_2041", 2)]
    hits = query(wording, model, "blue car", 2)
    assert {hit.id for hit in hits} == {"b", "d"}  # one is blue, the other says car
    cosines = {hit.id: hit.score for hit in made.query(model, text="blue car", k=9)}
    assert all(hit.score == pytest.approx(cosines[hit.id]) for hit in hits)
    assert [hit.id for hit in query(wording, model, "house", 9, where="n = 1")] == ["b"]
