import numpy as np
import pytest
from data.trees import three_folders, write

from sensorium import data
from sensorium.data import door, manifest
from sensorium.modalities import Image, Text


def test_columns_go_through_the_door(tmp_path):
    root = three_folders(tmp_path, 3)
    path = write(root / "list.csv", "pic,wort\n" + "".join(f"images/item{i}.png,Wort {i}\n" for i in range(3)))
    folder = data.open(path, (Image(size=8), Text(length=8)), columns={"image": "pic", "text": "wort"})
    assert folder.read([0, 1])["text/here"].all() and folder.captions() == ["Wort 0", "Wort 1", "Wort 2"]
    mixture = data.open([path, root], (Image(size=8), Text(length=8)))
    assert np.array_equal(mixture.read([0])["image"], mixture.read([3])["image"])


def test_of_many_lazy_items_some_are_looked_at_for_the_fields(tmp_path, monkeypatch):
    root = three_folders(tmp_path, 1)
    monkeypatch.setattr(manifest, "SMALL", 0)
    monkeypatch.setattr(door, "LOOK", 4)
    path = write(root / "list.csv", "image,caption,id\n" + "".join(f"images/item0.png,word{i:03d},{i:03d}\n" for i in range(300)))
    image, text = data.open(path).fields
    assert image == Image(size=64) and isinstance(text, Text)
    seen = data.fields_for(data.scan(path).items[::75])
    assert (image, text) == seen and len(data.open(path)) == 300


def test_a_source_is_named_once_however_it_is_called(tmp_path, monkeypatch):
    three_folders(tmp_path / "two rooms", 2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="each once"):
        data.open(["two rooms", "./two rooms"])
    assert len(data.open(f"file://{tmp_path}/two%20rooms", ())) == 2
