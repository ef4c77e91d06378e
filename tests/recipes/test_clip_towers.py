"""A CLIP of one's own: its tokenizer, and its model in the layout of the family."""

import json

import numpy as np
import pytest

import sensorium
from sensorium import Sensorium
from sensorium.core.trainer import BadDial
from sensorium.data.synthetic import write_world
from sensorium.modalities import BadRaw
from sensorium.modalities.text_pieces import opened
from sensorium.pretrained.clip_training import trained, trained_field
from sensorium.pretrained.preprocess import dumps
from sensorium.recipes import clip_towers, folder
from sensorium.world import caption, scene

CAPTIONS = ["a red circle above a blue square", "two red circles", "A RED circle's square"]


@pytest.fixture
def world(tmp_path):
    scenes = scene.distinct("train", 12)
    write_world(tmp_path / "world", scenes, [caption.render(scenes, "list")], senses=("image", "text", "audio"))
    return tmp_path / "world"


def test_a_clip_is_given_back_as_a_clip(world, tmp_path, monkeypatch):
    monkeypatch.setitem(clip_towers.LAYERS, "depth", 1)
    made = folder(world, towers="clip", steps=1, batch=4, width=24)
    assert [field.name for field in made.fields] == ["image", "text"] and made.arguments["towers"] == "clip"
    assert any("audio: a CLIP reads pictures and texts" in said for said in made.left_out)
    assert made.arguments["lr"] == 1e-3 and list(made.losses) == ["image-text"]
    model = Sensorium(made.model.build(0), made.fields, made.model)
    model.save_pretrained(tmp_path / "given", family="clip")
    again = sensorium.load(tmp_path / "given")
    assert again.family == "clip" and again.fingerprint == model.fingerprint
    texts = ["a red circle", "", "ZWEI 猫 \n tabs\t"]
    assert np.array_equal(again.encode(text=texts)["text"], model.encode(text=texts)["text"])
    config = json.loads((tmp_path / "given" / "config.json").read_text())
    assert config["model_type"] == "clip" and config["projection_dim"] == 24
    vocabulary = json.loads((tmp_path / "given" / "tokenizer.json").read_text())["model"]["vocab"]
    assert config["text_config"]["eos_token_id"] == vocabulary["<|endoftext|>"] == len(vocabulary) - 1
    assert config["text_config"]["bos_token_id"] == vocabulary["<|startoftext|>"]
    batch = made.source.read([0, 1])
    assert batch["image"].shape == (2, 64, 64, 3) and batch["text"].shape == (2, made.fields[1].blank()["text"].shape[0])


def test_towers_that_there_are_not_are_told(world):
    with pytest.raises(BadDial, match="expected house or clip"):
        folder(world, towers="clap")
    with pytest.raises(BadDial, match="pictures and texts, and there is audio"):
        clip_towers.clip_fields([field for field in folder(world).fields if field.kind == "audio"], CAPTIONS)


def test_clip_s_pieces_are_learned_the_same_in_any_order_and_lose_nothing():
    said = trained(CAPTIONS, 540)
    assert said == trained(CAPTIONS[::-1], 540)
    assert len(said["model"]["vocab"]) == 514 + len(said["model"]["merges"]) <= 540
    reader = opened(dumps(said))
    assert reader.encode("a RED  circle").tokens == ["<|startoftext|>", "a</w>", "red</w>", "circle</w>", "<|endoftext|>"]
    assert reader.decode(reader.encode("猫 ù").ids).strip() == "猫 ù"
    field = trained_field(CAPTIONS, 540, 77)
    prepared = field.prepare("two red circles")
    assert field.length == max(len(reader.encode(text).ids) for text in CAPTIONS)
    numbers, end = prepared["text"], said["model"]["vocab"]["<|endoftext|>"]
    assert field.end == end and (numbers[prepared["text/mask"]][-1], numbers[-1]) == (end, end), "filled up with the end mark"
    assert not prepared["text/mask"].all()
    with pytest.raises(BadRaw, match="514 pieces or more"):
        trained(CAPTIONS, 500)
