import json
import shutil

import numpy as np
import pytest
from data.trees import half, three_folders, write
from modalities.samples import png, save, sine, smooth, sound

from sensorium.core.errors import BadFile
from sensorium.data import check
from sensorium.data.health import duplicates
from sensorium.modalities import Audio, Image, Text


@pytest.fixture
def root(tmp_path):
    """Six items with known faults."""
    root = three_folders(tmp_path, 6)
    half(root / "images" / "item0.png")
    write(root / "images" / "item1.png", png(9000, 9000, 1))
    half(root / "audio" / "item2.wav")
    write(root / "captions" / "item3.txt", "Müsli".encode("latin-1"))
    (root / "audio" / "item4.wav").unlink()
    write(root / "captions" / "item5.txt", "a picture  number 4\nsomething else\n")
    save(root / "images" / "lost.png", smooth(8, 8))
    half(root / "images" / "lost.png")
    shutil.copy(root / "images" / "item2.png", root / "images" / "item3.png")
    write(root / "images" / "notes.md", "x")
    return root


def test_every_fault_is_found_and_none_invented(root):
    health = check(root)
    found = {(p.path.removeprefix(f"{root}/"), p.kind) for p in health.broken}
    assert found == {
        ("images/item0.png", "image"),
        ("images/item1.png", "image"),
        ("images/lost.png", "image"),
        ("audio/item2.wav", "audio"),
        ("captions/item3.txt", "text"),
    }
    assert len(health.broken) == 5 and all(p.cause for p in health.broken)
    report = json.loads(json.dumps(health.to_json(), allow_nan=False))
    assert report["items"] == 6 and report["items_lost"] == 1
    assert report["counts"] == {"image": 4, "text": 5, "audio": 4}
    assert report["missing"] == {"image": 2, "text": 1, "audio": 2}
    assert report["pairs"] == {"audio+image": 2, "audio+text": 3, "image+text": 3}
    assert report["complete"] == 1
    assert report["captions"] == {
        "total": 10,
        "fewest": 2,
        "most": 2,
        "shared": 1,
        "items_with_shared": 2,
        "examples": ["a picture  number 4"],
    }
    assert report["duplicates"] == [[str(root / "images" / f"item{i}.png") for i in (2, 3)]]
    assert report["unused"] == [str(root / "images" / "notes.md")]
    assert next(one["cause"] for one in report["broken"] if one["path"].endswith("item2.wav")).startswith("cut short")


def test_good_items_are_those_without_what_is_broken(root):
    good = {item.id: set(item.raws) for item in check(root).good}
    assert good == {
        "item0": {"text", "audio"},
        "item1": {"text", "audio"},
        "item2": {"image", "text"},
        "item3": {"image", "audio"},
        "item4": {"image", "text"},
        "item5": {"image", "text", "audio"},
    }


def test_a_sound_that_breaks_after_the_window_is_found(tmp_path):
    samples = sine(440, 16000, 3)
    samples[-9] = np.nan
    sound(tmp_path / "x.wav", samples, 16000, subtype="FLOAT")
    sound(tmp_path / "y.wav", sine(440, 16000, 3), 16000)
    health = check(tmp_path, (Audio(seconds=1),))
    assert [p.path for p in health.broken] == [str(tmp_path / "x.wav")] and "NaN" in health.broken[0].cause


def test_lengths_are_beside_the_window(tmp_path):
    for i, seconds in enumerate((0.5, 1.0, 1.5, 2.0)):
        sound(tmp_path / f"{i}.wav", sine(440, 44100, seconds), 44100)
        write(tmp_path / f"{i}.txt", "a" * (3 + i))
    report = check(tmp_path, (Audio(seconds=1), Text(length=6))).to_json()["lengths"]
    assert report["audio"] == {"window": 1, "median": 1.25, "longest": 2, "longer": 2, "shorter": 1}
    assert report["text"] == {"window": 6, "median": 6.5, "longest": 8, "longer": 2, "shorter": 1}


def test_progress_counts_to_the_end(root):
    steps = []
    check(root, (Image(),), lambda done, total: steps.append((done, total)))
    assert steps == [(i, 7) for i in range(1, 8)]


def test_a_folder_without_anything_is_an_error(tmp_path):
    with pytest.raises(BadFile, match="the folder is empty"):
        check(tmp_path)


def test_duplicates_have_the_same_bytes_not_only_the_same_size(tmp_path):
    paths = [write(tmp_path / name, content) for name, content in (("a", "xy"), ("b", "yx"), ("c", "xy"), ("d", "xyz"))]
    assert duplicates(paths + paths) == ((str(paths[0]), str(paths[2])),)


def test_whole_things_are_shown_to_who_watches(root):
    seen = []
    check(root, watch=seen.append)
    kinds = sorted(one.field.kind for one in seen)
    assert kinds == ["audio"] * 4 + ["image"] * 4 + ["text"] * 10
    for one in seen:
        assert one.arrays.keys() == one.field.prepare(one.raw).keys() and (one.length is None) == (one.field.kind == "image")


def test_a_modality_that_raises_what_it_likes_breaks_its_own_file_only(root):
    class Odd(Image):
        def prepare(self, raw):
            if "item2" in str(raw):
                raise ZeroDivisionError("by  zero")
            return super().prepare(raw)

    broken = {p.path.removeprefix(f"{root}/"): p.cause for p in check(root, (Odd(),)).broken if p.kind == "image"}
    assert broken["images/item2.png"] == "ZeroDivisionError: by zero" and len(broken) == 4
