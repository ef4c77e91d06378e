"""Hits ranked anew by their tokens: on a space of texts in which a token is its word, and on one of pictures and sounds."""

import json
from dataclasses import replace
from string import ascii_lowercase

import numpy as np
import pytest
from PIL import Image as Pillow
from search.fake import Tricolour
from show.page import Page

import sensorium
from sensorium import Sensorium
from sensorium.cli.main import main
from sensorium.core.protocols import Item
from sensorium.modalities import Audio, BadRaw, Image, Text
from sensorium.modalities.audio import wav_bytes
from sensorium.recipes.towers import space
from sensorium.search import Collection
from sensorium.search.judged import evaluate
from sensorium.search.late import rerank, tokens
from sensorium.search.mixed import Term
from sensorium.search.prefix import Prefix
from sensorium.search.relevance import Judged
from sensorium.show import why
from sensorium.training import Card
from sensorium.training.weights import arrays, filled

WORDS = ("red", "blue", "green", "dog", "cat", "bird", "runs", "sleeps", "jumps")
NOTES = {"both": "red dog cat bird runs sleeps jumps green", "one": "red red red", "none": "blue cat"}
FIELDS = (Image(size=16), Text(words=WORDS, alphabet=ascii_lowercase, length=8), Audio(rate=2000, seconds=0.5))
DIALS = {
    "convnet": {"widths": [6, 8]},
    "text_transformer": {"width": 8, "heads": 2, "window": 3},
    "audio_convnet": {"bins": 16, "hop": 50, "widths": [4, 6]},
}


@pytest.fixture(scope="module")
def reader() -> Sensorium:
    """A text is the mean of the vectors of its words, wherever they stand."""
    text = Text(words=WORDS, alphabet=ascii_lowercase, length=16)
    layers = {"width": 64, "depth": 0, "heads": 2, "hidden": 8}
    tower = {"encoder": "published_text", "form": "bert_mean", "vocabulary": text.vocabulary_size, "length": 16, "layers": layers}
    card = Card("space", {"encoders": {"text": tower}, "width": 64, "bare": ["text"]})
    held = {name: np.zeros_like(x) if name.endswith("positions") else x for name, x in arrays(card.build(0)).items()}
    return Sensorium(filled(card.shapes(), held), (text,), card)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def notes(reader) -> Collection:
    return Collection.update(reader, [Item(id, {"text": (text,)}) for id, text in NOTES.items()], "memory:")


def ids(hits) -> list[str]:
    return [hit.id for hit in hits]


def test_what_has_each_word_comes_first_though_its_mean_is_farther(reader, notes):
    hits = notes.query(reader, text="red dog")
    assert ids(hits) == ["one", "both", "none"]
    made = rerank(notes, reader, [Term(1.0, "text", "red dog")], hits, 3)
    assert ids(made.hits) == ["both", "one", "none"] and not made.problems
    first, second = (hit.late or 0 for hit in made.hits[:2])
    assert first == pytest.approx(1, abs=1e-5) and 0.7 < second < 0.9
    assert {hit.id: hit.score for hit in made.hits} == {hit.id: hit.score for hit in hits}
    z = {word: tokens(reader, "text", [word])[0].vectors[1] for word in WORDS}
    marks = tokens(reader, "text", ["red"])[0].vectors[[0, 2]]  # start and end are in every text
    for hit in made.hits:
        others = np.stack([*marks, *(z[word] for word in NOTES[hit.id].split())])
        (match,) = made.matches[hit.id]
        np.testing.assert_allclose(match.cosines.max(1)[[1, 2]], [(others @ z[word]).max() for word in ("red", "dog")], atol=1e-5)


def test_what_it_gives_is_measured(reader, notes):
    asked = [Judged("red dog", 1, {"both": 1.0}), Judged('"red dog" - 2*"cat"', 2, {"one": 1.0})]
    plain, anew = evaluate(notes, reader, asked), evaluate(notes, reader, asked, rerank=3)
    assert [one["rank"] for one in plain["each"]] == [2, 1]
    assert [one["rank"] for one in anew["each"]] == [1, 1]


def test_only_the_first_are_put_in_another_order(reader, notes):
    hits = notes.query(reader, text="red dog")
    made = rerank(notes, reader, [Term(1.0, "text", "red dog")], hits, 1)
    assert ids(made.hits) == ["one", "both", "none"] and [hit.late is None for hit in made.hits] == [False, True, True]


def test_what_is_taken_away_counts_against(reader, notes):
    hits = notes.query(reader, text="red dog")
    asked = [Term(1.0, "text", "red"), Term(-2.0, "text", "dog")]
    assert ids(rerank(notes, reader, asked, hits, 3).hits)[0] == "one"


def test_a_model_of_first_numbers_is_read_whole(reader, notes):
    hits = notes.query(reader, text="red dog")
    asked = [Term(1.0, "text", "red dog")]
    assert rerank(notes, Prefix(reader, 8), asked, hits, 3).hits == rerank(notes, reader, asked, hits, 3).hits
    with pytest.raises(BadRaw, match="tokens are read by a Sensorium, and this model is a Tricolour"):
        rerank(notes, Tricolour(), asked, hits, 3)


def test_words_are_told_and_marked(reader, notes):
    made = rerank(notes, reader, [Term(1.0, "text", "red doggy")], notes.query(reader, text="red"), 3)
    (match,) = made.matches["both"]
    assert [word for word, _ in why.lines(match)] == ["red", "doggy"]  # doggy is read letter by letter
    assert why.said(match)[0] == {"asked": "red", "found": "red", "cosine": 1.0}
    marks = dict(why.marked(match))
    assert marks["red"] == pytest.approx(1, abs=1e-5) and marks[" bird"] < 0.9 and why.drawn(match) is None
    assert "".join(word for word, _ in why.marked(match)) == NOTES["both"]


@pytest.fixture(scope="module")
def senses() -> Sensorium:
    card = space(FIELDS, 12, DIALS)
    return Sensorium(card.build(0), FIELDS, card)


@pytest.fixture(scope="module")
def things(senses, tmp_path_factory) -> Collection:
    root, draw, items = tmp_path_factory.mktemp("things"), np.random.default_rng(0), []
    for i in range(3):
        picture, sound = root / f"{i}.png", root / f"{i}.wav"
        Pillow.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(picture)
        sound.write_bytes(wav_bytes(draw.uniform(-1, 1, 1000 + 2000 * (i == 2)).astype(np.float32), 2000))
        items += [Item(f"picture {i}", {"image": (picture,)}), Item(f"sound {i}", {"audio": (sound,)})]
    return Collection.update(senses, items, "memory:late", root=root, model_path="runs/a")


def test_pictures_and_sounds_are_ranked_and_shown(senses, things):
    asked = [Term(1.0, "text", "red dog")]
    hits = things.query(senses, text="red dog", k=6)
    made = rerank(things, senses, asked, hits, 6)
    late = [hit.late or 0.0 for hit in made.hits]
    assert late == sorted(late, reverse=True) and len(set(late)) == 6
    for hit in made.hits:
        (match,) = made.matches[hit.id]
        assert hit.late == pytest.approx(np.mean([line.max() for line in match.cosines[:4]]), abs=1e-6)
        one, two = why.said(match, hit.start)
        assert (one["asked"], two["asked"]) == ("red", "dog")
        figure = why.drawn(match, hit.start)
        assert figure is not None and len(figure.axes) == 2
        if hit.field == "image":
            assert match.found.laid(match.cosines[1]).shape == (2, 2) and "row" in one["found"] and "of 2" in one["found"]
        else:
            assert one["found"].endswith(" s") and float(one["found"].split()[0]) >= (hit.start or 0)
    assert why.png(figure)[:4] == b"\x89PNG"
    long = next(hit for hit in made.hits if hit.id == "sound 2")
    assert long.start is not None


def test_the_place_that_is_named_is_the_one_that_is_like_it(senses, things):
    """A picture asked for by itself: each patch is most like itself."""
    hits = [hit for hit in things.query(senses, text="red", k=6) if hit.id == "picture 1"]
    path = things.file("picture 1", "image")
    (match,) = rerank(things, senses, [Term(1.0, "image", path)], hits, 1).matches["picture 1"]
    assert match.nearest.tolist() == [0, 1, 2, 3] and match.score == pytest.approx(1, abs=1e-5)
    assert why.place(match.found, 1) == "row 1 of 2, column 2 of 2" and why.said(match)[0]["asked"] == "image"


def test_the_command_line_tells_and_shows_it(senses, things, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sensorium, "load", lambda path: senses, raising=False)
    line = ["search", "memory:late", "red dog", "-k", "2", "--why", "--page", str(tmp_path / "found.html")]
    assert main([*line, "--rerank", "6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = rerank(things, senses, [Term(1.0, "text", "red dog")], things.query(senses, text="red dog", k=6), 6)
    assert [hit["id"] for hit in told["hits"]] == ids(expected.hits[:2]) and told["problems"] == []
    assert [one["asked"] for one in told["hits"][0]["why"]] == ["red", "dog"]
    page = Page(tmp_path / "found.html")
    page.check_alone()
    assert sum(one.get("class") == "why" for one in page.all("img")) == 2
    assert main(line) == 0
    seen = capsys.readouterr().out
    assert "1. red " in seen and "; dog " in seen and "by tokens" not in seen
    assert main([*line, "--rerank", "0"]) == 1


def test_a_file_that_has_gone_is_told_and_comes_last(senses, things):
    hits = things.query(senses, text="red", k=6, within=["image"])
    gone = replace(hits[0], id="picture 0")
    things.file("picture 0", "image").rename(things.file("picture 0", "image").with_suffix(".gone"))
    made = rerank(things, senses, [Term(1.0, "text", "red")], [gone, *[hit for hit in hits if hit.id != gone.id]], 3)
    assert made.hits[-1].id == "picture 0" and made.hits[-1].late is None
    assert len(made.problems) == 1 and made.problems[0].kind == "image"
