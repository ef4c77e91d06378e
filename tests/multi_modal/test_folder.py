"""A folder as the guide's data set: each fault of the sample code (row S25), and what it could not read at all."""

import jax
import numpy as np
import pytest
from data.trees import half, three_folders, write
from flax import nnx
from modalities.samples import clip, save, sine, smooth, sound
from PIL import Image as Pillow

from sensorium.core.batch import size
from sensorium.core.errors import BadFile, UnknownName
from sensorium.core.protocols import Source
from sensorium.data.pipeline import batches
from sensorium.modalities import Image, Text
from sensorium.multi_modal.folder import MultiModalDataset


@pytest.fixture
def root(tmp_path):
    return three_folders(tmp_path, 4)


def said(dataset, batch) -> list[str]:
    return [dataset.tokenizer.show(np.asarray(ids)) for ids in batch["input_ids"]]


def test_the_sample_of_the_skill(root):
    """The sample code had no default transform: its name was never imported."""
    dataset = MultiModalDataset(root)
    sample = dataset[1]
    assert len(dataset) == 4 and dataset.ids == ("item0", "item1", "item2", "item3")
    assert set(sample) == {
        *("image", "input_ids", "attention_mask", "text/id", "audio", "audio/mask", "id"),
        *("image/here", "text/here", "audio/here"),
    }
    assert sample["image"].shape == (224, 224, 3) and sample["image"].dtype == np.uint8
    assert sample["input_ids"].shape == sample["attention_mask"].shape == (77,) and sample["audio"].shape == (16000,)
    np.testing.assert_array_equal(sample["image"], Image(size=224).prepare(root / "images" / "item1.png")["image"])
    assert sample["id"] == 1 and dataset.problems == ()
    caption = said(dataset, {"input_ids": [sample["input_ids"]]})[0]
    assert caption in ("a picture number 1", "number 1 as a picture")
    real = np.asarray(sample["attention_mask"])
    assert real.sum() == 2 + len(caption.split()) and not np.asarray(sample["input_ids"])[~real].any()
    assert float(jax.jit(lambda sample: sample["audio"].std())(sample)) > 0.1
    assert len(MultiModalDataset(root, max_length=9)[0]["input_ids"]) == 9
    assert [int(one["id"]) for one in dataset] == [0, 1, 2, 3] and int(dataset[-1]["id"]) == 3
    with pytest.raises(IndexError, match="item 4 of a data set of 4"):
        dataset[4]


def test_an_item_is_one_row_however_many_captions_it_has(root):
    """In the sample code every caption was an item: two rows of a batch could be one picture, each the other's negative."""
    dataset = MultiModalDataset(root)
    one, same = (next(dataset.epoch(4)) for _ in range(2))
    assert sorted(one["id"].tolist()) == [0, 1, 2, 3] and said(dataset, one) == said(dataset, same)
    seen: dict[int, set[str]] = {}
    for batch in dataset.epoch(4, repeat=12):
        for number, caption in zip(batch["id"].tolist(), said(dataset, batch), strict=True):
            assert str(number) in caption
            seen.setdefault(number, set()).add(caption)
    assert all(len(captions) == 2 for captions in seen.values())
    drawn = [[said(dataset, MultiModalDataset(root, seed=s)._named([0], e))[0] for e in range(12)] for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_batches_walk_through_the_folder(root):
    dataset = MultiModalDataset(root)
    walked = [dataset.get_batch(2) for _ in range(4)]
    numbers = [batch["id"].tolist() for batch in walked]
    assert sorted(numbers[0] + numbers[1]) == sorted(numbers[2] + numbers[3]) == [0, 1, 2, 3]
    batch, again = dataset.get_batch(3, rngs=nnx.Rngs(5)), MultiModalDataset(root).get_batch(3, rngs=nnx.Rngs(5))
    assert set(batch) == set(dataset[0])
    for name, value in batch.items():
        np.testing.assert_array_equal(value, again[name])
    walk = dataset.epoch(2, seed=1)
    next(walk)
    rest = dataset.epoch(2, seed=1)
    rest.set_state(walk.get_state())
    assert next(rest)["id"].tolist() == next(walk)["id"].tolist()
    with pytest.raises(ValueError, match="batch_size=5 of a data set of 4"):
        dataset.get_batch(5)


def test_the_trainer_takes_it_as_a_source(root):
    dataset = MultiModalDataset(root)
    assert isinstance(dataset, Source)
    batch = next(batches(dataset, 3, 1))
    assert size(batch) == 3
    assert {"image", "text", "text/mask", "text/id", "audio", "audio/mask", "group"} == {
        key for key in batch if not key.endswith("/here")
    }
    assert all(f"{name}/here" in batch for name in ("image", "text", "audio"))
    guide = dataset._named(batch["group"], 0)
    np.testing.assert_array_equal(guide["input_ids"], batch["text"])
    np.testing.assert_array_equal(guide["attention_mask"], batch["text/mask"])


def test_suffixes_order_and_missing_captions(tmp_path):
    """The sample code: `os.listdir` in any order, lower-case .jpg and .png only, and a picture without captions was dropped."""
    for i, name in enumerate(("b.JPG", "a.jpeg", "d.webp", "c.PNG")):
        save(tmp_path / "images" / name, smooth(30, 40, seed=i))
    write(tmp_path / "captions" / "a.txt", "\n  \none line\n\n")
    write(tmp_path / "captions" / "c.txt", "   \n\n")
    dataset = MultiModalDataset(tmp_path)
    assert dataset.ids == ("a", "b", "c", "d")
    batch = dataset.read(range(4))
    assert batch["text/here"].tolist() == [True, False, False, False] and batch["image/here"].all()
    assert said(dataset, {"input_ids": batch["text"][:1]}) == ["one line"] and not batch["text/mask"][1:].any()
    assert [problem.cause for problem in dataset.problems] == ["no caption in it, only blank lines"]


def test_the_aspect_is_kept_and_the_picture_is_upright(tmp_path):
    """The sample code squashed 224×224 out of any shape, and read telephones' pictures lying on their side."""
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:60] = 255  # the middle square
    save(tmp_path / "images" / "wide.png", wide)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    half_red = np.zeros((64, 64, 3), np.uint8)
    half_red[:, :32, 0] = 255
    save(tmp_path / "images" / "turned.jpg", Pillow.fromarray(half_red), exif=exif)
    batch = MultiModalDataset(tmp_path).read([0, 1])
    assert batch["image"][1, 5:-5, 5:-5].min() > 250
    assert batch["image"][0, :100, :, 0].min() > 200 and batch["image"][0, 130:, :, 0].max() < 60
    of_transform = MultiModalDataset(tmp_path, image_transform=lambda p: np.asarray(p.resize((8, 8)))).read([0])
    assert of_transform["image"][0, :3, :, 0].min() > 200 and of_transform["image"][0, 5:, :, 0].max() < 60


def test_what_is_broken_is_masked_and_told(root):
    """In the sample code one corrupt picture ended the epoch."""
    half(root / "images" / "item1.png")
    half(root / "audio" / "item2.wav")
    write(root / "captions" / "item3.txt", b"\xff\xfe")
    for transform in (None, lambda picture: np.asarray(picture.resize((8, 8)))):
        dataset = MultiModalDataset(root, image_transform=transform)
        for _ in range(2):
            batch = dataset.read(range(4))
        assert batch["image/here"].tolist() == [True, False, True, True] and not batch["image"][1].any()
        assert batch["audio/here"].tolist() == [True, True, False, True] and not batch["audio"][2].any()
        assert batch["text/here"].tolist() == [True, True, True, False]
        assert sorted(problem.path.rpartition("/")[2] for problem in dataset.problems) == ["item1.png", "item2.wav", "item3.txt"]


def test_sounds_and_clips_are_read_too(tmp_path):
    """The sample code had no path for either."""
    for i, name in enumerate(("x", "y")):
        write(tmp_path / "videos" / f"{name}.mp4", clip(frames=20 if i else 5))
        write(tmp_path / "captions" / f"{name}.txt", f"clip {name}\n")
    sound(tmp_path / "audio" / "x.wav", sine(300, 16000, 0.5), 16000)
    dataset = MultiModalDataset(tmp_path)
    batch = dataset.get_batch(2)
    order = batch["id"].tolist()
    assert batch["video"].shape == (2, 16, 112, 112, 3) and batch["video/here"].all()
    assert [int(batch["video/mask"][order.index(i)].sum()) for i in (0, 1)] == [5, 16]
    assert float(batch["video/time"].max()) == pytest.approx(1.9) and batch["audio/here"].tolist() == [i == 0 for i in order]
    assert "image" not in batch


def test_both_sides_of_a_split_speak_one_language(tmp_path):
    for i in range(40):
        write(tmp_path / "captions" / f"{i}.txt", f"word{i}\n")
        save(tmp_path / "images" / f"{i}.png", smooth(8, 8, seed=i))
    sides = {name: MultiModalDataset(tmp_path, split=name) for name in ("train", "validation")}
    assert sorted(sides["train"].ids + sides["validation"].ids) == sorted(map(str, range(40)))
    assert 0 < len(sides["validation"]) < 12
    assert sides["train"].tokenizer == sides["validation"].tokenizer
    words = sides["train"].tokenizer
    assert isinstance(words, Text)
    assert f"word{sides['train'].ids[0]}" in words.words and f"word{sides['validation'].ids[0]}" not in words.words
    with pytest.raises(UnknownName, match="Did you mean 'train'"):
        MultiModalDataset(tmp_path, split="trian")
    with pytest.raises(ValueError, match="none of its 1 items is on the side"):
        write(tmp_path / "one" / "images" / "a.png", (tmp_path / "images" / "0.png").read_bytes())
        MultiModalDataset(tmp_path / "one", split="validation")
    with pytest.raises(BadFile, match="no such file or folder"):
        MultiModalDataset(tmp_path / "absent")


def test_a_text_of_another_data_set_reads_this_one(root, tmp_path_factory):
    other = write(tmp_path_factory.mktemp("other") / "captions" / "a.txt", "some other words\n").parent.parent
    dataset = MultiModalDataset(root, tokenizer=MultiModalDataset(other).tokenizer)
    assert dataset.tokenizer == MultiModalDataset(other).tokenizer and isinstance(dataset.tokenizer, Text)
    assert "other" in dataset.tokenizer.words
