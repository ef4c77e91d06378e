"""The server with models of the house, as small as they can be: what it says is what they say."""

import json
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from models.makers import any_planning, any_to_any, planning
from PIL import Image as Pillow
from serve.served import Client

import sensorium
from sensorium.cli.main import main
from sensorium.core.protocols import Item
from sensorium.decoders import Drawing, Sampling
from sensorium.modalities import Image, Text
from sensorium.modalities.written import png_bytes
from sensorium.recipes.tellers import teller
from sensorium.search import Collection
from sensorium.sensorium import Sensorium
from sensorium.serve.app import Server
from sensorium.serve.bounds import Bounds
from sensorium.serve.telling import _make
from sensorium.serve.wishes import Generate

WORDS = Text(words=("red", "blue", "ring", "star"), alphabet="abdefgilnrstu", length=5)
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def tells(asks: bool) -> Sensorium:
    image, question = Image(size=16), Text("question", ("red",), "abcdefghijklmnopqrstuvwxyz", 12)
    dials = {"image": {"widths": [4, 6]}, "question": {"width": 8, "heads": 2, "depth": 1}}
    fields = (image, question) if asks else (image,)
    fusion = {"fusion": "attention", "heads": 2, "depth": 1} if asks else None
    card = teller(fields, WORDS, 8, dials, depth=1, heads=2, fusion=fusion)
    return Sensorium(card.build(1), (*fields, WORDS), card)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(1)
    items = []
    for i in range(5):
        path = root / f"{i}.png"
        path.write_bytes(png_bytes(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)))
        items.append(Item(str(i), {"image": (path,), "text": (["red circle", "blue square"][i % 2],)}))
    model, captioner, answerer = any_to_any(), tells(False), tells(True)
    collection = Collection.update(model, items, root / "c", root=root)
    server = Server(collection, model, [captioner, answerer], bounds=Bounds(seconds=300, patience=300))
    yield Client(server), model, captioner, answerer, root
    server.close()


def test_files_are_read_as_the_model_reads_them(served):
    client, model, _, _, _ = served
    sent = png_bytes(PICTURE)
    answer = client.post("/embed", files=[("image", sent)] * 9, data={"text": ["red circle"]}).json()
    truth = model.encode(image=[sent] * 9, text=["red circle"])
    np.testing.assert_allclose(answer["vectors"]["image"], truth["image"], atol=1e-5)
    np.testing.assert_allclose(answer["vectors"]["text"], truth["text"], atol=1e-5)
    found = client.post("/search", files={"image": sent}, data={"k": "3"}).json()["hits"]
    assert [hit["id"] for hit in found] == [hit.id for hit in client.server.collection.query(model, image=sent, k=3)]


def test_about_says_what_the_models_can(served):
    about = served[0].get("/about").json()
    assert about["can"] == {"caption": ["image"], "ask": ["image"]}
    assert {one["name"]: one["kind"] for one in about["makes"]} == {"image": "image", "text": "text"}
    assert all(set(one["reads"]) == {"text", "image", "sensor"} for one in about["makes"])


def test_a_caption_and_an_answer_are_those_of_the_model(served):
    client, _, captioner, answerer, root = served
    picture = (root / "2.png").read_bytes()
    truth = captioner.caption([picture])[0]
    told = client.post("/caption", json={"id": "2"}).json()["texts"]
    assert told == client.post("/caption", files={"image": picture}).json()["texts"]
    assert [one["text"] for one in told] == [truth] and told[0]["score"] == pytest.approx(truth.score, abs=1e-3)
    several = client.post("/caption", json={"id": "2", "candidates": 3}).json()["texts"]
    assert [one["score"] for one in several] == sorted((one["score"] for one in several), reverse=True)
    answer = client.post("/ask", json={"id": "2", "question": "red", "answers": ["blue", "ring"]}).json()["texts"]
    assert answer[0]["text"] == answerer.ask([picture], "red", answers=["blue", "ring"])[0]
    told = client.post("/ask", json={"id": "2", "question": "red ox", "answers": ["blue"]}).json()
    assert told["unknown"] == ["ox"] and client.post("/caption", json={"id": "2"}).json()["unknown"] == []
    assert client.post("/ask", json={"id": "2", "question": "a" * 40}).status_code == 422
    assert client.post("/caption", files={"image": b"none"}).status_code == 422
    assert client.post("/caption", json={}).status_code == 422


def test_things_are_made_as_the_model_makes_them(served):
    client, model, _, _, root = served
    asked = {"text": "red circle", "to": "image", "n": 2, "seed": 3, "steps": 2}
    answer = client.post("/generate", json=asked).json()
    assert (answer["to"], answer["media"], answer["note"]["prompt"]) == ("image", "image/png", "red circle")
    how = Drawing(2, model.making.how("image").guidance)
    for file, truth in zip(answer["files"], model.generate("image", text="red circle", n=2, how=how, seed=3), strict=True):
        np.testing.assert_array_equal(np.asarray(Pillow.open(BytesIO(b64decode(file)))), np.asarray(truth))
    assert answer["unknown"] == []
    assert client.post("/generate", json={**asked, "text": "a red dog"}).json()["unknown"] == ["dog"]
    words = client.post("/generate", json={"id": "1", "to": "text"}).json()
    assert words["kind"] == "text" and len(words["texts"]) == 1
    several = client.post("/generate", json={"id": "1", "to": "text", "n": 2, "seed": 4, "temperature": 2.0}).json()
    how = Sampling(temperature=2.0)
    assert several["texts"] == model.generate("text", image=root / "1.png", n=2, how=how, seed=4)
    assert (
        several["note"]["temperature"] == 2
        and len(client.post("/generate", json={"id": "1", "to": "text", "n": 2}).json()["texts"]) == 2
    )
    cold = client.post("/generate", json={**asked, "temperature": 0.0}).json()
    assert cold["note"]["temperature"] == 0 and cold["files"] != answer["files"]
    for wrong in ({**asked, "temperature": 1.5}, {**asked, "temperature": -1}, {"text": "red", "to": "text", "steps": 3}):
        assert client.post("/generate", json=wrong).status_code == 422, wrong
    for wrong in ({"to": "image"}, {"text": "red", "n": 99}, {"text": "red", "to": "image", "steps": 10_000}):
        assert client.post("/generate", json=wrong).status_code == 422, wrong
    assert client.post("/generate", json={"text": "red", "to": "audio"}).status_code == 404


def test_words_that_the_model_never_learned_are_told(served, capsys, monkeypatch):
    client, model, _, _, root = served
    asked = '"a red dog" - "snow"'
    assert client.post("/search", json={"text": asked}).json()["unknown"] == ["dog", "snow"]
    assert client.post("/search", json={"text": "red", "without": "blue"}).json()["unknown"] == []
    monkeypatch.setattr(sensorium, "load", lambda name: model)
    assert main(["search", str(root / "c"), asked, "--model", "m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown_words"] == ["dog", "snow"]


def test_the_command_line_answers_with_a_probability_beside(served, capsys, monkeypatch):
    _, _, _, answerer, root = served
    monkeypatch.setattr(sensorium, "load", lambda name: answerer)
    line = ["ask", str(root / "2.png"), "red ox", "--model", "m", "--answers", "blue", "ring"]
    (truth,) = answerer.ask([root / "2.png"], "red ox", answers=["blue", "ring"])
    assert main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["probability"] == pytest.approx(np.exp(truth.score), abs=1e-3) and found["unknown_words"] == ["ox"]
    assert main(line) == 0
    out, beside = capsys.readouterr()
    assert out == f"{truth}\n" and f"a probability of {np.exp(truth.score):.2f}" in beside and "guesses: ox" in beside


def test_a_space_with_a_decoder_of_texts_captions_all_that_it_reads(served):
    client, model, captioner, _, root = served
    server = Server(client.server.collection, model, [], bounds=Bounds(seconds=300, patience=300))
    alone = Client(server)
    try:
        assert alone.get("/about").json()["can"] == {"caption": ["image", "sensor"]}
        picture, trace = (
            (root / "2.png").read_bytes(),
            b"time,x [g],y [g]\n" + b"".join(b"%f,%d,1\n" % (i / 8, i) for i in range(16)),
        )
        for name, sent in (("image", picture), ("sensor", trace)):
            (truth,) = model.caption([sent], field=name)
            (told,) = alone.post("/caption", files={name: sent}).json()["texts"]
            assert told["text"] == truth and told["score"] == pytest.approx(truth.score, abs=1e-3)
        (told,) = alone.post("/caption", json={"id": "2"}).json()["texts"]
        assert told["text"] == model.caption([picture], field="image")[0] != captioner.caption([picture])[0]
    finally:
        server.close()


@pytest.mark.parametrize("built", [planning, any_planning])
def test_what_was_planned_is_told_beside_what_was_made(built):
    model = built()
    made = _make(model, "image", {"text": "red circle"}, Generate(text="red circle", n=2, seed=1, steps=2))
    assert made.plans == model.generate("plan", text="red circle", n=2, seed=1) and made.note["prompt"] == "red circle"
    usual = model.making.how("image")
    assert isinstance(usual, Drawing)
    how = Drawing(2, usual.guidance)
    for file, truth in zip(made.files, model.generate("image", plan=list(made.plans), how=how, seed=1), strict=True):
        np.testing.assert_array_equal(np.asarray(Pillow.open(BytesIO(b64decode(file)))), np.asarray(truth))
