"""What the API answers, on a collection whose truth is known."""

from io import BytesIO
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image as Pillow
from search.fake import COLOURS, RATE, Tricolour, folder, tone
from serve.served import Client, Reading, made, three_seconds

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.modalities import video_file
from sensorium.modalities.audio import wav_bytes
from sensorium.search import Collection
from sensorium.search.prefix import Prefix
from sensorium.search.where import Compare
from sensorium.search.wording import Wording
from sensorium.search.wording import query as by_words
from sensorium.serve.app import Server
from sensorium.serve.bounds import Bounds
from sensorium.serve.chart import flat
from sensorium.serve.pages import FOLDER

PATIENT = Bounds(seconds=300, patience=300)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    server = Server(made(root), Reading(), bounds=PATIENT)
    yield Client(server), root / "files"
    server.close()


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_search_finds_what_the_collection_finds(served):
    client, files = served
    collection, model = client.server.collection, Tricolour()
    picture, sound = files / "images/green.png", files / "audio/blue.wav"
    cases = [
        ({"json": {"text": "blue", "k": 3}}, {"text": "blue", "k": 3}),
        ({"json": {"text": "red", "within": ["audio"]}}, {"text": "red", "within": ["audio"]}),
        ({"json": {"text": "red", "within": "audio"}}, {"text": "red", "within": ["audio"]}),
        ({"files": {"image": picture.read_bytes()}}, {"image": picture}),
        ({"files": {"audio": sound.read_bytes()}, "data": {"k": "2"}}, {"audio": sound, "k": 2}),
        (
            {"files": [("image", picture.read_bytes()), ("audio", sound.read_bytes())], "data": {"text": "red"}},
            {"text": "red", "image": picture, "audio": sound},
        ),
    ]
    for asked, query in cases:
        answer = client.post("/search", **asked)
        expected = collection.query(model, **query)
        assert ids(answer) == [hit.id for hit in expected]
        np.testing.assert_allclose([h["score"] for h in answer.json()["hits"]], [h.score for h in expected], atol=2e-6)
        assert [h["field"] for h in answer.json()["hits"]] == [h.field for h in expected]


def test_a_hit_says_what_it_is_and_no_path_of_the_machine(served):
    client, files = served
    answer = client.post("/search", json={"text": "blue", "k": 1})
    (hit,) = answer.json()["hits"]
    assert hit["files"] == {"image": "images/blue.png", "audio": "audio/blue.wav"} and hit["metadata"] == {"page": 2}
    assert (hit["rank"], hit["caption"], hit["start"], hit["end"]) == (1, "a blue thing", None, None)
    assert str(files) not in answer.text


def test_more_like_an_item_leaves_it_out_and_words_are_taken_away(served):
    client, _ = served
    assert ids(client.post("/search", json={"like": ["blue"], "k": 1})) == ["hum"]
    assert "blue" not in ids(client.post("/search", json={"like": ["blue"], "k": 50}))
    both = ids(client.post("/search", json={"text": "red and green", "within": ["image"], "k": 1}))
    less = ids(client.post("/search", json={"text": "red and green", "without": "red", "within": ["image"], "k": 1}))
    assert both == ["yellow"] and less == ["green"]


def test_filters_and_parts_of_things(served):
    client, _ = served
    assert sorted(ids(client.post("/search", json={"text": "blue", "where": "page < 2", "k": 9}))) == ["green", "red"]
    assert client.get("/about").json()["filters"] == ["id", "kind", "page"]


def test_words_that_the_model_does_not_know_find_what_says_them(served):
    client, files = served
    asked = {"text": "a yellow thing", "within": ["audio"], "k": 3}
    wording, model = Wording(client.server.collection), Tricolour()
    for text in ("a blue thing", "and green", "nowhere"):
        expected = by_words(wording, model, text, 4)
        assert ids(client.post("/search", json={"text": text, "words": True, "k": 4})) == [hit.id for hit in expected]
    assert ids(client.post("/search", json={**asked, "words": True, "where": "page = 1"})) == ["green"]
    picture = files / "images/red.png"
    mixed = client.post("/search", files={"image": picture.read_bytes()}, data={"text": "and", "words": "true", "k": "6"})
    assert {"yellow", "words"} <= set(ids(mixed))
    for wrong in ({"words": True, "like": ["blue"]}, {"text": "red", "words": "perhaps"}):
        assert client.post("/search", json=wrong).status_code == 422


def test_a_text_may_be_a_sum(served):
    client, _ = served
    asked = {"text": '"red" - "blue"', "k": 3}
    whole, taken = client.post("/search", json=asked).json(), {"text": "red", "without": "blue", "k": 3}
    assert whole == client.post("/search", json=taken).json() and whole["hits"]
    assert whole != client.post("/search", json={"text": "red", "k": 3}).json()
    less = {"text": "a yellow thing", "without": '"red"', "words": True, "k": 3}
    assert client.post("/search", json=less).json() == client.post("/search", json={**less, "without": "red"}).json()
    for wrong, said in (
        ({"text": '"red" + image:/etc/passwd'}, "files are sent along"),
        ({"text": '"red" +'}, "got the end"),
        ({"text": '"red"', "words": True}, "a sum has no words"),
        ({"text": " + ".join(['"red"'] * 17)}, "17 texts in one query: at most 16"),
    ):
        answer = client.post("/search", json=wrong)
        assert answer.status_code == 422 and said in answer.text


def test_what_looks_the_same_is_told_as_one(tmp_path):
    items = folder(tmp_path / "files")
    twin = tmp_path / "files/images/twin.png"
    twin.write_bytes((tmp_path / "files/images/blue.png").read_bytes())
    items.append(Item("twin", {"image": (twin,), "text": ("red",)}))
    server = Server(
        Collection.update(Reading(), items, "memory:", root=tmp_path / "files"),
        Reading(),
        bounds=PATIENT,
    )
    client = Client(server)
    asked = {"text": "blue", "within": ["image"], "k": 2}
    assert ids(client.post("/search", json=asked)) == ["blue", "twin"]
    one, other = client.post("/search", json={**asked, "group": True}).json()["hits"]
    assert (one["id"], one["alike"], one["rank"], other["rank"], other["alike"]) == ("blue", ["twin"], 1, 2, [])
    assert other["id"] != "twin"
    server.close()


def test_a_picture_of_the_moment_that_was_found(tmp_path, monkeypatch):
    """It is decoded by a process apart: here nothing can."""
    pytest.importorskip("av")
    film = tmp_path / "a.mp4"
    film.write_bytes(three_seconds())
    items = [Item("clip", {"video": (film,), "text": ("red",)}), Item("note", {"text": ("blue",)})]
    server = Server(Collection.update(Reading(), items, "memory:", root=tmp_path), Reading(), bounds=PATIENT)
    client = Client(server)
    monkeypatch.setattr(video_file, "opened", None)
    for at, colour in ((0, "red"), (1, "green"), (1.9, "green"), (2.5, "blue"), (99, "blue")):
        answer = client.get(f"/items/clip/thumbnail?at={at}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
        mean = np.asarray(Pillow.open(BytesIO(answer.content))).mean((0, 1))
        assert list(COLOURS)[int(mean.argmax())] == colour and mean.max() > 150 > np.sort(mean)[1] * 2
    for at in ("-1", "nan", "inf", "1e9", "x"):
        assert client.get(f"/items/clip/thumbnail?at={at}").status_code == 422, at
    assert client.get("/items/note/thumbnail?at=1").status_code == 404
    film.write_bytes(film.read_bytes()[:500])
    broken = client.get("/items/clip/thumbnail?at=1")
    assert broken.status_code == 422 and str(tmp_path) not in broken.text
    server.close()


def test_records_are_read_once_and_anew_when_they_have_changed(tmp_path, monkeypatch):
    items = folder(tmp_path / "files")
    collection = Collection.update(Reading(), items, "memory:", root=tmp_path / "files")
    server = Server(collection, Reading(), bounds=PATIENT)
    client, read, real = Client(server), [], collection.store.get
    monkeypatch.setattr(collection.store, "get", lambda keys, columns=None: read.append(keys) or real(keys, columns))
    first = client.post("/search", json={"text": "blue"}).json()
    assert len(read) == 1
    assert client.post("/search", json={"text": "blue"}).json() == first and len(read) == 1
    collection.store.delete(Compare("item", "=", "blue"))
    assert "blue" not in ids(client.post("/search", json={"text": "blue"}))
    assert client.get("/items/blue").status_code == 404
    server.close()


def test_what_is_removed_while_it_is_found_harms_nobody(tmp_path, monkeypatch):
    collection = Collection.update(Reading(), folder(tmp_path / "files"), "memory:", root=tmp_path / "files")
    server = Server(collection, Reading(), bounds=PATIENT)
    real = collection.store.search

    def late(*asked):
        found = real(*asked)
        collection.store.delete(Compare("item", "=", "blue"))  # found, and gone before it is looked up
        return found

    monkeypatch.setattr(collection.store, "search", late)
    assert "blue" not in ids(Client(server).post("/search", json={"text": "blue"}))
    server.close()


def test_embed_gives_the_models_vectors(served):
    client, files = served
    picture = (files / "images/red.png").read_bytes()
    answer = client.post("/embed", files=[("image", picture)], data={"text": ["red", "blue"]}).json()
    truth = Tricolour().encode(image=[picture], text=["red", "blue"])
    for name, vectors in truth.items():
        np.testing.assert_allclose(answer["vectors"][name], vectors, atol=1e-6)
    assert answer["fingerprint"] == "tricolour-1"


def test_questions_that_wait_together_are_encoded_together(served):
    client, _ = served
    sounds = [wav_bytes(tone(i % 3), RATE) for i in range(24)]
    calls = [("POST", "/search", {"files": {"audio": sound}, "data": {"k": "1"}}) for sound in sounds]
    calls += [("POST", "/search", {"json": {"text": colour, "k": 1}}) for colour in ("red", "green", "blue") * 8]
    before = client.get("/metrics").text
    found = [ids(answer)[0] for answer in client.all(calls)]
    assert found == ["red", "green", "blue"] * 16
    rounds = [float(line.split()[1]) for line in client.get("/metrics").text.splitlines() if 'batch_count{line="encode"}' in line]
    earlier = [float(line.split()[1]) for line in before.splitlines() if 'batch_count{line="encode"}' in line]
    assert rounds[0] - earlier[0] < 48


def test_a_broken_file_harms_only_its_own_request(served):
    client, _ = served
    good = [("POST", "/search", {"files": {"audio": wav_bytes(tone(1), RATE)}, "data": {"k": "1"}})] * 5
    bad = ("POST", "/search", {"files": {"audio": wav_bytes(tone(1), RATE)[:-99]}})
    *fine, broken = client.all([*good, bad])
    assert [ids(answer) for answer in fine] == [["green"]] * 5
    assert broken.status_code == 422 and "cut short" in broken.json()["error"]


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ({"json": {}}, 422, "nothing to look for"),
        ({"json": {"txt": "red"}}, 422, "Did you mean 'text'"),
        ({"json": {"text": "red", "k": 0}}, 422, "k is 0: expected 1 to"),
        ({"json": {"text": "red", "k": "many"}}, 422, "k: input should be a valid integer"),
        ({"json": {"text": "red", "within": ["imge"]}}, 422, "Did you mean 'image'"),
        ({"json": {"text": "red", "where": "pages > 1"}}, 422, "Did you mean 'page'"),
        ({"json": {"text": "red", "where": "page >"}}, 422, "at character"),
        ({"json": {"text": "r" * 5000}}, 422, "make it shorter"),
        ({"json": {"like": ["nobody"]}}, 404, "no item 'nobody'"),
        ({"json": {"text": "red", "without": "red"}}, 400, "cancel each other out"),
        ({"json": ["red"]}, 422, "expected a JSON object"),
        ({"content": b'{"text": "\\ud800"}', "headers": {"content-type": "application/json"}}, 422, "no Unicode"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
        ({"content": b"red"}, 415, "expected application/json or multipart/form-data"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "the form cannot be read"),
        ({"files": {"image": b"GIF89a"}}, 422, "a picture of 6 bytes"),
        ({"files": {"film": b"x"}}, 422, "no field 'film'"),
        ({"files": [("image", b"x")] * 17}, 400, "the form cannot be read"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(served, asked, status, text):
    answer = served[0].post("/search", **asked)
    assert (answer.status_code, list(answer.json())) == (status, ["error"]) and text in answer.json()["error"]


def test_items_and_their_files_by_id_alone(served):
    client, files = served
    assert client.get("/items/blue").json()["captions"] == ["a blue thing", "blue blue"]
    picture = client.get("/items/blue/thumbnail")
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    sound = (files / "audio/blue.wav").read_bytes()
    whole = client.get("/items/blue/file/audio")
    assert whole.content == sound and whole.headers["content-type"] == "audio/wav" and "sandbox" in str(whole.headers)
    part = client.get("/items/blue/file/audio", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, sound[10:20])
    for path in ("/items/nobody", "/items/words/thumbnail", "/items/blue/file/video", "/items/blue/file/..%2f..%2fc"):
        assert client.get(path).status_code == 404, path
    for path in (
        "/items/..%2f..%2fetc%2fpasswd/file/image",
        f"/items/{files}%2Fimages%2Fblue.png/file/image",
        "/page/..%2fapp.py",
    ):
        assert client.get(path).status_code == 404, path


def test_all_items_are_listed_page_by_page(served):
    client, _ = served
    whole = client.get("/items").json()
    known = [one["id"] for one in whole["items"]]
    assert known == sorted(known) and whole["next"] is None and whole["of"] == len(known) > 3
    assert whole["items"][known.index("blue")] == client.get("/items/blue").json()
    seen, after = [], ""
    while after is not None:
        page = client.get("/items", params={"k": 2, "after": after}).json()
        seen, after = seen + [one["id"] for one in page["items"]], page["next"]
        assert len(page["items"]) <= 2 and page["of"] == len(known)
    assert seen == known
    some = client.get("/items", params={"where": "page >= 1"}).json()
    assert [one["id"] for one in some["items"]] == ["blue", "green"]
    for asked in ({"k": 0}, {"k": 201}, {"where": "page ="}, {"where": "pages = 1"}):
        answer = client.get("/items", params=asked)
        assert answer.status_code == 422 and answer.json()["error"], asked


def test_a_file_that_has_gone_is_said_to_be_gone(served):
    client, files = served
    moved = (files / "audio/green.wav").rename(files / "audio/away.wav")
    answer = client.get("/items/green/file/audio")
    moved.rename(files / "audio/green.wav")
    assert answer.status_code == 404 and "has gone" in answer.json()["error"] and str(files) not in answer.text


def test_what_no_model_can_is_a_404_that_says_what_to_do(served):
    for path, asked in (("caption", {"id": "blue"}), ("ask", {"id": "blue", "question": "?"}), ("generate", {"text": "x"})):
        answer = served[0].post(f"/{path}", json=asked)
        assert answer.status_code == 404 and "--beside" in answer.json()["error"]


def test_the_map_shows_where_vectors_differ_the_most(served):
    answer = served[0].get("/map").json()
    assert sorted(answer["ids"]) == ["blue", "green", "red", "yellow"] and answer["of"] == 6
    assert max(map(abs, answer["x"] + answer["y"])) == 1
    assert sorted(served[0].get("/map?field=audio").json()["ids"]) == ["blue", "green", "hum", "red"]
    rng = np.random.default_rng(0)
    line = np.outer(rng.normal(size=50), [3, 0, 4]) + np.outer(rng.normal(size=50), [0, 1, 0]) + 7
    places, kept = flat(line.astype(np.float32))
    assert kept == pytest.approx(1, abs=1e-5)
    far = lambda x: np.linalg.norm(x[:, None] - x[None], axis=-1)  # noqa: E731
    ratio = far(places)[0, 1:] / far(line)[0, 1:]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)  # a plane is seen as it is
    assert flat(np.ones((1, 3), np.float32))[0].tolist() == [[0, 0]] and flat(np.ones((4, 1), np.float32))[0].shape == (4, 2)


def test_the_map_of_a_collection_that_is_made_anew_is_empty(tmp_path):
    collection = Collection.update(Reading(), folder(tmp_path / "files"), "memory:anew", root=tmp_path / "files")
    server = Server(collection, Reading(), bounds=PATIENT)
    client = Client(server)
    assert client.get("/map").json()["field"] == "image"
    collection.store.delete(Compare("item", "!=", ""))
    answer = client.get("/map")
    assert answer.status_code == 200
    assert answer.json() == {"field": "", "ids": [], "x": [], "y": [], "kept": 0, "of": 0}
    named = client.get("/map?field=image")
    assert named.status_code == 422 and "no vectors of a field 'image'" in named.json()["error"]
    server.close()


def test_the_page_refers_to_nothing_outside(served):
    client, _ = served
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html") and "script-src 'self'" in page.headers["content-security-policy"]
    names = [path.name for path in FOLDER.iterdir()]
    assert {"index.html", "app.js", "style.css"} <= set(names)
    for name in names:
        text = client.get(f"/page/{name}").text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", ""), name
        assert " style=" not in text and " onclick=" not in text and "innerHTML" not in text, name
    told = client.get("/openapi.json").json()["paths"]
    assert {"/search", "/why", "/embed", "/caption", "/ask", "/generate", "/items", "/items/{id}", "/healthz", "/metrics"} <= set(
        told
    )


def test_names_that_are_no_unicode_are_said_and_found(tmp_path):
    items = [Item("caf\udce9", {"text": ("red",)}), Item("tea", {"text": ("blue",)})]
    server = Server(Collection.update(Reading(), items, tmp_path / "c"), Reading(), bounds=PATIENT)
    client = Client(server)
    (first, _) = ids(client.post("/search", json={"text": "red"}))
    assert client.get(f"/items/{quote(first, safe='')}").json()["captions"] == ["red"]
    assert client.get("/items", params={"k": 1}).json()["next"] == first
    assert [one["id"] for one in client.get("/items", params={"after": first}).json()["items"]] == ["tea"]
    assert ids(client.post("/search", json={"like": [first]})) == ["tea"]
    server.close()


def test_a_name_with_a_line_break_is_listed_and_found(tmp_path):
    server = Server(Collection.update(Reading(), [Item("a\nb\n", {"text": ("red",)})], tmp_path / "c"), Reading(), bounds=PATIENT)
    client = Client(server)
    (listed,) = client.get("/items").json()["items"]
    assert listed["id"] == "a\nb\n" and client.get(f"/items/{quote(listed['id'], safe='')}").json() == listed
    lacks = client.get(f"/items/{quote(listed['id'], safe='')}/thumbnail")
    assert lacks.status_code == 404 and "has no thumbnail" in lacks.json()["error"]
    server.close()


def test_a_collection_of_the_first_numbers_alone_is_asked_by_these(tmp_path):
    items = folder(tmp_path / "files")
    kept = Collection.update(Prefix(Reading(), 4), items, "memory:first", root=tmp_path / "files")
    server = Server(kept, Reading(), bounds=PATIENT)
    client, picture = Client(server), tmp_path / "files/images/green.png"
    asked = client.post("/search", json={"text": "blue"}), client.post("/search", files={"image": picture.read_bytes()})
    expected = kept.query(Reading(), text="blue"), kept.query(Reading(), image=picture)
    assert [ids(answer) for answer in asked] == [[hit.id for hit in hits] for hits in expected]
    told = client.post("/embed", json={"text": ["blue"]}).json()
    first = Prefix(Reading(), 4).encode(text=["blue"])["text"]
    np.testing.assert_allclose(told["vectors"]["text"], first, atol=1e-6)
    assert told["fingerprint"] == kept.fingerprint != Reading().fingerprint
    server.close()


def test_a_centred_collection_is_asked_by_centred_vectors(tmp_path):
    items = folder(tmp_path / "files")
    kept = Collection.update(Reading(), items, "memory:moved", root=tmp_path / "files", centre=True)
    server = Server(kept, Reading(), bounds=PATIENT)
    client, picture = Client(server), tmp_path / "files/images/green.png"
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"json": {"text": "blue"}}, {"text": "blue"}),
        ({"files": {"image": picture.read_bytes()}}, {"image": picture}),
        (
            {"files": {"image": picture.read_bytes()}, "data": {"text": "red", "k": "3"}},
            {"image": picture, "text": "red", "k": 3},
        ),
    ]
    for asked, query in cases:
        answer, expected = client.post("/search", **asked), kept.query(Reading(), **query)
        assert ids(answer) == [hit.id for hit in expected]
        np.testing.assert_allclose([h["score"] for h in answer.json()["hits"]], [h.score for h in expected], atol=2e-6)
    assert client.post("/search", json={"text": "blue"}).json()["hits"][0]["score"] > 0.9  # 0.7 at most with the gap
    told = client.post("/embed", json={"text": ["blue"]}).json()["vectors"]["text"]
    np.testing.assert_allclose(told, kept.check(Reading()).encode(text=["blue"])["text"], atol=1e-6)
    server.close()


def test_the_model_of_another_collection_is_refused(served):
    with pytest.raises(SensoriumError, match="tricolour-2"):
        Server(served[0].server.collection, Reading(fingerprint="tricolour-2"))
