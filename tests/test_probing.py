"""Labels learned from what a frozen encoder pools; the model with them, saved and loaded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sensorium
from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Item
from sensorium.probing import NoLabels, probe
from sensorium.training.weights import arrays

RECORDED = Path(__file__).parent / "pretrained" / "recorded"
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def pictures(n: int = 150) -> list[Item]:
    """Noisy pictures of one colour each, in folders of that name; `luck` is a label that has nothing to do with them."""
    rng, items = np.random.default_rng(0), []
    for i in range(n):
        name = list(COLOURS)[i % 3]
        picture = np.clip(rng.normal(COLOURS[name], 25, (20, 20, 3)), 0, 255).astype(np.uint8)
        items.append(Item(f"{name}/{i}", {"image": (picture,)}, {"luck": int(rng.integers(3)), "colour": name.upper()}))
    return items


@pytest.fixture(scope="module")
def vit():
    return sensorium.load(RECORDED / "vit_labels")


def test_labels_that_the_pictures_tell_are_learned_and_classified_by_the_saved_model(vit, tmp_path):
    items = [*pictures(), Item("red/heard", {"audio": ("a.wav",)})]
    done = probe(vit, items)
    assert done.metrics["accuracy"] > 0.95 and done.metrics["accuracy/low"] > 0.6 > done.metrics["accuracy/chance"]
    assert [row.label for row in done.classes] == ["blue", "green", "red"]
    assert sum(row.items for row in done.classes) == done.items["measured"] == done.metrics["items"]
    assert sum(row.trained for row in done.classes) + done.items["measured"] == 150
    assert sum(row.right for row in done.classes) == done.metrics["accuracy"] * done.metrics["items"]
    assert done.left_out == ("1 items have no image",)
    kept = {name: x for name, x in arrays(vit.model).items() if "classes" not in name}
    assert all((arrays(done.sensorium.model)[name] == x).all() for name, x in kept.items()), "the encoder is as it was"
    done.sensorium.save_pretrained(tmp_path / "own")
    done.sensorium.save_pretrained(tmp_path / "vit", family="vit")
    shares = done.sensorium.classify([item.raws["image"][0] for item in items[:6]])
    assert [done.sensorium.labels[i] for i in shares.argmax(axis=1)] == ["red", "green", "blue"] * 2
    for folder in ("own", "vit"):
        again = sensorium.load(tmp_path / folder)
        assert again.labels == ("blue", "green", "red")
        np.testing.assert_allclose(again.classify([item.raws["image"][0] for item in items[:6]]), shares, atol=1e-6)


def test_labels_that_have_nothing_to_do_with_the_pictures_are_at_chance(vit):
    items = [
        replace(item, metadata=item.metadata | {"split": "test"} if i % 2 else item.metadata) for i, item in enumerate(pictures())
    ]
    done = probe(vit, items, "luck")
    assert done.items["measured"] == 75
    assert done.metrics["accuracy/low"] < 1 / 3 < done.metrics["accuracy/high"] < 0.55


def test_any_encoder_can_be_probed_and_a_test_split_is_what_is_measured(tmp_path):
    """Texts, by the recorded CLIP; the space is what it was."""
    clip = sensorium.load(RECORDED / "clip")
    rows = [(f"{word} {i}", word) for i in range(20) for word in ("cat", "dog")]
    items = [
        Item(f"t{i}", {"text": (text,)}, {"animal": word, "split": ("train", "validation", "test")[i % 3]})
        for i, (text, word) in enumerate(rows)
    ]
    done = probe(clip, items, "animal", field="text")
    assert done.items == {"train": 14, "choosing": 13, "measured": 13}
    assert done.metrics["accuracy"] == 1.0 and done.metrics["accuracy/low"] < 1.0
    done.sensorium.save_pretrained(tmp_path)
    again = sensorium.load(tmp_path)
    assert again.classify(text=["dog 99", "cat 7"]).argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_array_equal(again.encode(text=["x"])["text"], clip.encode(text=["x"])["text"])
    assert again.card.arguments["encoders"]["text"]["encoder"] == "probed"


def test_items_without_labels_are_told(vit):
    items = pictures(12)
    with pytest.raises(UnknownName, match=r"no item has a column 'color'.*Did you mean 'colour'"):
        probe(vit, items, "color")
    with pytest.raises(NoLabels, match="no item lies in a folder of its class"):
        probe(vit, [replace(item, id=item.id.replace("/", "-")) for item in items])
    with pytest.raises(NoLabels, match="the items hold image, and the labels are to be learned from text"):
        probe(sensorium.load(RECORDED / "clip"), items, field="text")
    with pytest.raises(NoLabels, match="two classes and more items"):
        probe(vit, [item for item in items if item.id.startswith("red")])


def test_the_command_learns_the_folders_of_pictures(tmp_path, capsys):
    """As a user has them: a folder a class, and a file that is no picture."""
    from PIL import Image as Pillow

    from sensorium.cli.main import main

    for item in pictures(90):
        path = tmp_path / "photos" / f"{item.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(item.raws["image"][0]).save(path)
    (tmp_path / "photos/red/broken.png").write_bytes(b"no picture")
    words = ["probe", str(tmp_path / "photos"), "--model", str(RECORDED / "vit"), "--out", str(tmp_path / "kinds")]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metrics"]["accuracy"] > 0.8 and [row["label"] for row in result["classes"]] == ["blue", "green", "red"]
    assert len(result["problems"]) == 1 and result["field"] == "image"
    assert json.loads((tmp_path / "kinds" / "probe.json").read_text())["penalty"] == result["penalty"]
    assert sensorium.load(tmp_path / "kinds").labels == ("blue", "green", "red")
    assert main(words) == 1
    assert "kinds" in capsys.readouterr().err
