from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data.trees import half, three_folders, write
from hypothesis import given
from hypothesis import strategies as st
from modalities.samples import sine, sound

from sensorium import data
from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item
from sensorium.data import Folder, fields_for
from sensorium.modalities import Audio, Image, Text
from sensorium.modalities.written import mp4_bytes

FIELDS = (Image(size=16), Text.from_captions(["a picture number 0 1 2 3 as"]), Audio(rate=8000, seconds=0.25))


@pytest.fixture
def root(tmp_path):
    return three_folders(tmp_path, 4)


def test_a_batch_holds_what_the_fields_prepare(root):
    folder = data.open(root, FIELDS)
    assert len(folder) == 4 and folder.fields == FIELDS
    batch = folder.read([2, 0, 2])
    for at, row in enumerate([2, 0, 2]):
        for field, raw in zip((FIELDS[0], FIELDS[2]), ("image", "audio"), strict=True):
            for key, value in field.prepare(folder.raw(row, raw)[0]).items():
                assert np.array_equal(batch[key][at], value)
    assert batch["group"].tolist() == [2, 0, 2] and batch["group"].dtype == np.int32
    assert all(batch[f"{name}/here"].tolist() == [True] * 3 for name in ("image", "text", "audio"))
    assert set(batch) == {
        "group",
        "image",
        "text",
        "text/mask",
        "text/id",
        "audio",
        "audio/mask",
        "image/here",
        "text/here",
        "audio/here",
    }
    again = folder.read(np.array([2, 0, 2]))
    assert all(np.array_equal(batch[key], again[key]) for key in batch)


def test_what_is_missing_is_blank_and_not_here(root):
    (root / "images" / "item1.png").unlink()
    (root / "audio" / "item2.wav").unlink()
    batch = data.open(root, FIELDS).read([0, 1, 2, 3])
    assert batch["image/here"].tolist() == [True, False, True, True]
    assert batch["audio/here"].tolist() == [True, True, False, True]
    assert not batch["image"][1].any() and batch["image"][0].any() and not batch["audio"][2].any()


def test_what_is_broken_is_blank_and_told_once(root):
    half(root / "images" / "item1.png")
    half(root / "audio" / "item3.wav")
    folder = data.open(root, FIELDS)
    for _ in range(3):
        batch = folder.read([0, 1, 3, 1])
        assert batch["image/here"].tolist() == [True, False, True, False]
        assert batch["audio/here"].tolist() == [True, True, False, True]
        assert not batch["image"][1].any() and not batch["text"][0].all()
    assert sorted((p.path, p.kind) for p in folder.broken) == sorted(
        [(str(root / "images" / "item1.png"), "image"), (str(root / "audio" / "item3.wav"), "audio")]
    )
    assert all(p.cause and str(root) not in p.cause for p in folder.broken)


def test_threads_read_the_same_and_tell_once(root):
    half(root / "images" / "item1.png")
    folder, alone = data.open(root, FIELDS), data.open(root, FIELDS)
    expected = alone.read([0, 1, 2, 3], 5)
    with ThreadPoolExecutor(8) as pool:
        for batch in pool.map(lambda _: folder.read([0, 1, 2, 3], 5), range(40)):
            assert all(np.array_equal(batch[key], expected[key]) for key in expected)
    assert len(folder.broken) == 1


def test_a_reader_cannot_change_what_is_remembered(root):
    folder = data.open(root, FIELDS)
    first = folder.read([0])
    kept = first["image"].copy()
    first["image"][:] = 0
    assert np.array_equal(folder.read([0])["image"], kept)


def test_memory_is_bounded_and_changes_nothing(root, monkeypatch):
    whole = data.open(root, FIELDS).read([0, 1, 2, 3])
    monkeypatch.setattr("sensorium.data.folder.REMEMBERED", 1000)
    folder = data.open(root, FIELDS)
    for _ in range(2):
        batch = folder.read([0, 1, 2, 3])
        assert all(np.array_equal(batch[key], whole[key]) for key in whole)
    assert sum(array.nbytes for arrays in folder._kept.values() if arrays for array in arrays.values()) <= 1000


def test_the_draw_picks_a_caption_for_good():
    items = [Item(f"i{n}", {"text": tuple(f"caption {k}" for k in range(4))}) for n in range(50)]
    text = Text(length=16)
    folder = Folder(items, (text,))
    picks = np.array([[folder.read([row], draw)["text/id"][0] for draw in range(40)] for row in range(50)])
    assert np.array_equal(
        picks[::-1], [[Folder(items, (text,)).read([r], d)["text/id"][0] for d in range(40)] for r in range(49, -1, -1)]
    )
    counts = np.unique(picks, return_counts=True)[1]
    assert len(counts) == 4 and counts.min() > 420  # of 500 expected
    assert len({tuple(row) for row in picks}) == 50  # items do not change their captions in step
    assert [folder.read([0], draw)["text"][0, 9] for draw in range(4)] == [
        text.prepare(f"caption {k}")["text"][9] for k in (3, 2, 1, 0)
    ]  # the same in every version


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.integers(-3, 3))
def test_rows_do_not_depend_on_their_batch(rows, draw):
    items = [Item(f"i{n}", {"text": ("one", "two", "three")} if n % 2 else {}) for n in range(6)]
    folder = Folder(items, (Text(length=8),))
    batch = folder.read(rows, draw)
    for at, row in enumerate(rows):
        one = folder.read([row], draw)
        assert all(np.array_equal(one[key][0], batch[key][at]) for key in batch)
        assert batch["text/here"][at] == bool(row % 2)


def test_wrong_rows_and_fields_are_errors(root):
    folder = data.open(root, FIELDS)
    for rows in ([4], [-1], [0, 99]):
        with pytest.raises(IndexError, match="a folder of 4 items"):
            folder.read(rows)
    with pytest.raises(ValueError, match="no rows"):
        folder.read([])
    with pytest.raises(ValueError, match="one name"):
        Folder(folder.items, (Image(), Image()))
    with pytest.raises(BadFile, match="no such file"):
        data.open(root / "absent")


def test_fields_suit_the_files(tmp_path):
    root = three_folders(tmp_path, 3)
    image, text, audio = data.open(root).fields
    assert image == Image(size=64)
    assert text == Text.from_captions(data.open(root).captions()) and isinstance(text, Text) and "picture" in text.words
    assert audio == Audio(rate=16000, seconds=1.0)  # 0.8 s, rounded up
    for i, seconds in enumerate((2.01, 2.2, 30)):
        sound(root / "audio" / f"item{i}.wav", sine(440, 8000, seconds), 8000)
    items = data.scan(root).items
    assert fields_for(items)[2] == Audio(seconds=2.5)
    assert [field.kind for field in fields_for([Item("x", {"text": ("a b",)})])] == ["text"]
    for i in range(3):
        write(root / "audio" / f"item{i}.wav", b"broken")
    assert fields_for(items)[2] == Audio()


def test_raws_captions_and_earlier_problems_are_kept(root):
    write(root / "captions" / "item2.txt", b"\xff")
    folder = data.open(root, FIELDS)
    assert folder.raw(0, "image") == (root / "images" / "item0.png",) and folder.raw(2, "text") == ()
    assert len(folder.captions()) == 6 and folder.captions()[1] == "number 0 as a picture"
    assert [p.path for p in folder.problems] == [str(root / "captions" / "item2.txt")] and folder.broken == []


def test_a_video_without_sound_lacks_its_sound_and_nothing_is_broken(tmp_path):
    clip = mp4_bytes(np.zeros((8, 16, 16, 3), np.uint8), 8.0)
    (tmp_path / "mute.mp4").write_bytes(clip)
    sound(tmp_path / "loud.wav", sine(300, 8000, 0.25), 8000)
    items = [Item("mute", {"audio": (tmp_path / "mute.mp4",)}), Item("loud", {"audio": (tmp_path / "loud.wav",)})]
    folder = Folder(items, (FIELDS[2],))
    taken = folder.take([0, 1])
    assert taken.batch["audio/here"].tolist() == [False, True] and taken.asked == 1 and not taken.rejects and not folder.broken
