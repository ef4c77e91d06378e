"""Why something was found: what the server says is what `late` and `show.why` say."""

from base64 import b64decode
from io import BytesIO
from threading import current_thread

import numpy as np
import pytest
from PIL import Image as Pillow
from serve.served import Client, Reading, by_tokens, made

from sensorium.modalities.audio import wav_bytes
from sensorium.search.late import rerank
from sensorium.search.mixed import Term
from sensorium.search.where import Compare
from sensorium.serve import senses
from sensorium.serve.app import Server
from sensorium.serve.bounds import Bounds, Door
from sensorium.show import why

PATIENT = Bounds(seconds=300, patience=300)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pytest.importorskip("av")
    root = tmp_path_factory.mktemp("why")
    model, collection = by_tokens(root)
    server = Server(collection, model, bounds=PATIENT)
    yield Client(server), model, collection, root
    server.close()


def expected(served, query: dict, terms: list[Term], id: str):
    """(the hit, its matches) as the library has them."""
    _, model, collection, _ = served
    hits = [hit for hit in collection.query(model, k=9, **query) if hit.id == id]
    ranked = rerank(collection, model, terms, hits, 1)
    assert not ranked.problems
    return ranked.hits[0], ranked.matches[id]


def same(told: dict, hit, matches, weights=(1.0,)) -> None:
    assert (told["id"], told["field"], told["start"], told["end"]) == (hit.id, hit.field, hit.start, hit.end)
    assert told["score"] == pytest.approx(hit.score, abs=2e-5) and told["late"] == pytest.approx(hit.late, abs=2e-5)
    assert [part["weight"] for part in told["parts"]] == list(weights)
    for part, match in zip(told["parts"], matches, strict=True):
        assert part["field"] == match.asked.field.name and part["score"] == pytest.approx(match.score, abs=2e-5)
        near = why.said(match, hit.start)
        assert [(one["asked"], one["found"]) for one in part["nearest"]] == [(one["asked"], one["found"]) for one in near]
        np.testing.assert_allclose([one["cosine"] for one in part["nearest"]], [one["cosine"] for one in near], atol=2e-4)
        assert part["alt"] == why.alt(match, hit.start)


def test_each_word_of_a_text_is_found_in_a_picture_a_sound_and_a_clip(served):
    client = served[0]
    for id in ("picture", "sound", "clip"):
        hit, matches = expected(served, {"text": "red dog"}, [Term(1.0, "text", "red dog")], id)
        told = client.post("/why", json={"text": "red dog", "id": id}).json()
        same(told, hit, matches)
        (part,) = told["parts"]
        assert [one["asked"] for one in part["nearest"]] == ["red", "dog"] and part["marks"] == []
        seen = Pillow.open(BytesIO(b64decode(part["picture"])))
        figure = why.drawn(matches[0], hit.start)
        assert figure is not None
        truth = Pillow.open(BytesIO(why.png(figure)))
        assert seen.format == "PNG" and seen.size == truth.size
        far = np.abs(np.asarray(seen.convert("RGB"), float) - np.asarray(truth.convert("RGB"), float))
        assert far.mean() < 0.5 and np.asarray(seen.convert("L")).std() > 5
        first = part["nearest"][0]
        assert len(first["at"]) == len(first["of"]) and all(0 <= a < n for a, n in zip(first["at"], first["of"], strict=True))
        if id == "picture":
            assert first["of"] == [2, 2] and first["found"] == f"row {first['at'][0] + 1} of 2, column {first['at'][1] + 1} of 2"
        start = {"picture": "'red' is like the patch ", "sound": "'red' is like it from ", "clip": "'red' is like frame "}[id]
        assert part["alt"].startswith(start) and part["alt"].endswith(f", {part['nearest'][1]['cosine']:.2f}")
        assert (hit.start is None) == (id == "picture")


def test_files_items_and_what_is_taken_away_are_parts_of_it(served):
    client, _, _, root = served
    file = (root / "b.png").read_bytes()
    terms = [Term(1.0, "image", root / "b.png"), Term(1.0, "text", "blue"), Term(-1.0, "text", "cat")]
    asked = {"text": "blue", "without": "cat", "id": "sound", "within": "audio", "like": "picture"}
    told = client.post("/why", files={"image": file}, data=asked).json()
    hit, matches = expected(served, {"text": "blue", "within": ["audio"]}, [*terms, Term(1.0, "image", root / "a.png")], "sound")
    assert [part["weight"] for part in told["parts"]] == [1, 1, -1, 1]
    assert told["start"] in (0.0, 0.333, 0.5, 0.667, 1.0)
    if told["start"] == hit.start:
        np.testing.assert_allclose([part["score"] for part in told["parts"]], [m.score for m in matches], atol=2e-5)
    total = sum(part["weight"] * part["score"] for part in told["parts"])
    assert told["late"] == pytest.approx(total, abs=1e-5)
    itself = client.post("/why", json={"like": ["other"], "id": "picture", "within": ["image"], "picture": False}).json()
    assert itself["parts"][0]["picture"] == "" and itself["parts"][0]["nearest"][0]["asked"] == "image"
    same_again = client.post("/why", files={"image": file}, data={"id": "other", "within": "image"}).json()
    assert same_again["late"] == pytest.approx(1, abs=1e-5)  # each patch is most like itself


def test_a_text_is_told_by_its_words(served):
    client = served[0]
    hit, matches = expected(served, {"text": "red cat", "within": ["text"]}, [Term(1.0, "text", "red cat")], "picture")
    told = client.post("/why", json={"text": "red cat", "within": ["text"], "id": "picture"}).json()
    same(told, hit, matches)
    (part,) = told["parts"]
    assert part["picture"] == "" and [(m["text"], pytest.approx(m["weight"], abs=1e-3)) for m in part["marks"]] == why.marked(
        matches[0]
    )
    assert "".join(mark["text"] for mark in part["marks"]) in ("a red dog", "cat")


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ({"text": "red"}, 422, "why which item"),
        ({"id": "picture"}, 422, "nothing to look for"),
        ({"text": "red", "id": "nobody"}, 404, "no item 'nobody'"),
        ({"text": "red", "id": "picture", "like": ["nobody"]}, 404, "no item 'nobody'"),
        ({"text": "red", "id": "note", "within": ["image"]}, 422, "nothing that is compared: image"),
        ({"text": "red", "id": "picture", "within": ["imge"]}, 422, "Did you mean 'image'"),
        ({"text": "r" * 5000, "id": "picture"}, 422, "make it shorter"),
        ({"text": "red", "id": "picture", "hue": 1}, 422, "there is no 'hue'"),
    ],
)
def test_what_cannot_be_said_is_told(served, asked, status, text):
    answer = served[0].post("/why", json=asked)
    assert (answer.status_code, list(answer.json())) == (status, ["error"]) and text in answer.json()["error"]


def test_files_that_are_broken_or_have_gone(served):
    client, _, _, root = served
    broken = client.post("/why", files={"image": b"GIF89a"}, data={"id": "picture"})
    assert broken.status_code == 422 and "a picture of 6 bytes" in broken.json()["error"]
    for id, name in (("picture", "a.png"), ("sound", "a.wav")):
        away = (root / name).rename(root / "away")
        gone = client.post("/why", json={"text": "red", "id": id, "within": ["image", "audio"]})
        away.rename(root / name)
        assert gone.status_code == 404 and "has gone" in gone.json()["error"] and str(root) not in gone.text
    content = (root / "a.wav").read_bytes()
    (root / "a.wav").write_bytes(wav_bytes(np.ones(500, np.float32), 2000))
    other = client.post("/why", json={"text": "red", "id": "sound"})
    (root / "a.wav").write_bytes(content[:-99])
    torn = client.post("/why", json={"text": "red", "id": "sound"})
    (root / "a.wav").write_bytes(content)
    for answer, why_not in ((other, "it has changed since it was indexed"), (torn, "cut short")):
        assert answer.status_code == 422 and why_not in answer.json()["error"] and str(root) not in answer.text


def test_who_may_ask_and_how_much(served, tmp_path):
    _, model, collection, _ = served
    asked = {"text": "red", "id": "picture", "picture": False}
    closed = Server(collection, model, door=Door("secret"), bounds=PATIENT)
    assert Client(closed).post("/why", json=asked).status_code == 401
    assert Client(closed).post("/why", json=asked, headers={"authorization": "Bearer secret"}).status_code == 200
    closed.close()
    narrow = Server(collection, model, bounds=Bounds(text=100, seconds=300, patience=300))
    assert Client(narrow).post("/why", json=asked | {"text": "red" * 100}).status_code == 413
    narrow.close()


def test_a_model_without_tokens_says_so_and_the_page_knows(served, tmp_path):
    assert served[0].get("/about").json()["why"] == ["image", "text", "audio", "video"]
    server = Server(made(tmp_path), Reading(), bounds=PATIENT)
    assert Client(server).get("/about").json()["why"] == []
    answer = Client(server).post("/why", json={"text": "red", "id": "red"})
    assert answer.status_code == 422 and "cannot say why" in answer.json()["error"]
    server.close()


def test_tokens_are_read_where_the_model_reads_all_else(served, monkeypatch):
    """With what waits there, and in no other thread."""
    client = served[0]
    threads, desk = [], client.server.senses._encoding
    real = senses.read
    monkeypatch.setattr(senses, "read", lambda *asked: threads.append(current_thread()) or real(*asked))
    calls = [("POST", "/why", {"json": {"text": "red", "id": "picture", "picture": False}})] * 4
    assert {answer.status_code for answer in client.all(calls)} == {200}
    assert 2 <= len(threads) <= 8 and set(threads) == set(desk._threads)


def test_an_item_that_is_removed_while_it_is_told_of_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("av")
    model, collection = by_tokens(tmp_path)
    server = Server(collection, model, bounds=PATIENT)
    real = collection.store.search

    def late(*asked):
        found = real(*asked)
        collection.store.delete(Compare("item", "=", "other"))  # found, and gone before it is looked up
        return found

    monkeypatch.setattr(collection.store, "search", late)
    gone = Client(server).post("/why", json={"text": "red", "id": "other"})
    assert gone.status_code == 404 and "no item 'other'" in gone.json()["error"]
    server.close()
