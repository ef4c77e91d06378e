"""The built-in world as batches and as files: rows that do not mind their company, twins, what is missing, and the way back."""

import json
from string import ascii_lowercase

import numpy as np
import pytest

from sensorium import data
from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Item, Source
from sensorium.data.fields import fields_for
from sensorium.data.synthetic import World, write_world
from sensorium.modalities import Audio, Image, Sensor, Text, Video
from sensorium.world import caption, clip, judge_motion, motion, picture, question, scene, sound, trace

WORDS = tuple(word for word in caption.WORDS if len(word) > 1)
FIELDS = (Image(size=64), Text(words=WORDS, alphabet=ascii_lowercase, length=caption.MOST_WORDS + 2), Audio())
FACTORS = ("shape", "colour", "texture", "size", "place")


@pytest.mark.parametrize("split", ["train", "compositional"])
def test_a_row_is_the_same_alone_and_in_any_company(split):
    world = World(FIELDS, split, seed=5, missing=0.4, twins=0.7, styles=(0.4, 0.3, 0.3))
    rows = np.array([7, 0, 3, 12, 13, 999_999, 3])
    together = world.read(rows)
    assert isinstance(world, Source)
    for at, row in enumerate(rows):
        alone = world.read([int(row)])
        assert alone.keys() == together.keys()
        for key in alone:
            np.testing.assert_array_equal(alone[key][0], together[key][at], err_msg=key)


def test_a_row_is_what_the_world_shows_and_says():
    world = World(FIELDS, "validation", seed=2)
    rows = np.arange(6)
    batch, scenes = world.read(rows), scene.draw("validation", rows, 2)
    np.testing.assert_array_equal(batch["image"], picture.render(scenes))
    np.testing.assert_allclose(batch["audio"], sound.mono(scenes), atol=1e-6)
    said = [FIELDS[1].show(tokens) for tokens in batch["text"]]
    assert said == caption.render(scenes, "list")
    assert all(batch[f"{field.name}/here"].all() for field in FIELDS)
    assert len(np.unique(batch["group"])) == len(np.unique(scenes.id))
    assert (world.read(rows)["text"] == world.read(rows, draw=9)["text"]).all()


def test_two_texts_say_the_same_scene_each_in_its_own_style():
    asked, told = (Text(name, WORDS, ascii_lowercase, caption.MOST_WORDS + 2) for name in ("text", "plan"))
    world = World((asked, told), "validation", seed=2, styles={"text": (0, 0, 1), "plan": (1, 0, 0)})
    rows = np.arange(6)
    batch, scenes = world.read(rows), scene.draw("validation", rows, 2)
    assert [asked.show(ids) for ids in batch["text"]] == caption.render(scenes, "short")
    assert [told.show(ids) for ids in batch["plan"]] == caption.render(scenes, "list")
    with pytest.raises(UnknownName, match="in which styles is 'plan' said"):
        World((asked, told), styles={"text": (0, 0, 1)})


def test_seeds_and_splits_are_other_worlds():
    kinds = (("train", 0), ("train", 1), ("validation", 0))
    read = [World(FIELDS[:2], split, seed=seed).read(range(8))["group"].tolist() for split, seed in kinds]
    assert read[0] != read[1] and not set(read[0]) & set(read[2])


@pytest.mark.parametrize(("split", "share"), [("train", 0.5), ("validation", 0.05), ("compositional", 0.2)])
def test_twins_nearly_are_the_row_before_and_stay_in_their_split(split, share):
    """Seven of eight twins of a validation scene are scenes to train on: there it keeps few."""
    rows = np.arange(600)
    own = scene.draw(split, rows, 0)
    scenes = World(FIELDS, split, twins=1.0)._with_twins(own, rows)
    assert scene.belongs(scenes, split).all()
    even, odd = scenes[::2], scenes[1::2]
    np.testing.assert_array_equal(even.id, own.id[::2], err_msg="even rows are as they were drawn")
    twin = odd.id != own.id[1::2]
    replaced = int(twin.sum())
    assert replaced > share * len(twin), "many of the odd rows are twins"
    assert (odd.id != even.id)[twin].all(), "which differ from the row before them"
    kept = {name: np.sort(getattr(odd, name), 1) == np.sort(getattr(even, name), 1) for name in FACTORS}
    changed = np.sum([(~same).any(1) for same in kept.values()], axis=0)
    assert (changed[twin] <= 1).all(), "in one drawn factor, or in nothing but which object has what"
    assert (World(FIELDS, split)._with_twins(own, rows).id == own.id).all(), "none unless asked for"


@pytest.mark.parametrize("missing", [0.0, 0.25, 1.0])
def test_as_many_rows_as_asked_lack_one_field(missing):
    n = 1500
    own = scene.draw("train", np.arange(n), 0)
    lost = World(FIELDS, missing=missing)._lost(own)
    share = (lost >= 0).mean()
    assert abs(share - missing) <= 4 * np.sqrt(missing * (1 - missing) / n)
    if missing:
        each = np.bincount(lost[lost >= 0], minlength=3) / (lost >= 0).sum()
        assert (np.abs(each - 1 / 3) < 0.1).all(), "each field is as often the one"
    batch = World(FIELDS, missing=missing).read(range(12))
    for i, field in enumerate(FIELDS):
        np.testing.assert_array_equal(batch[f"{field.name}/here"], lost[:12] != i)


def test_a_field_that_the_world_cannot_show_is_an_error():
    class Smell(Image):
        kind = "smell"

    with pytest.raises(UnknownName, match="the world has no 'smell' to show"):
        World((*FIELDS, Smell("smell")))


def test_written_out_it_is_read_back_as_it_was(tmp_path):
    scenes = scene.distinct("train", 12, seed=1)
    lists, again = caption.render(scenes, "list"), caption.render(scenes, "list", variant=1)
    told = []
    write_world(tmp_path, scenes, [lists, again], told.append)
    assert sum(told) == 12
    health = data.check(tmp_path, FIELDS)
    assert not health.broken and len(health.good) == 12
    folder = data.open(tmp_path, FIELDS)
    assert not folder.problems and [item.raws.keys() for item in folder.items] == [{"image", "text", "audio"}] * 12
    batch = folder.read(range(12))
    np.testing.assert_array_equal(batch["image"], picture.render(scenes), err_msg="bit for bit")
    np.testing.assert_allclose(batch["audio"], sound.render(scenes).mean(2), atol=1.01 / 32768)
    for i, item in enumerate(folder.items):
        assert item.raws["text"] == tuple(dict.fromkeys((lists[i], again[i])))
    listed = data.open(tmp_path / "manifest.jsonl", FIELDS)
    np.testing.assert_array_equal(listed.read(range(12))["image"], batch["image"])
    assert [item.raws["text"] for item in listed.items] == [item.raws["text"] for item in folder.items]


def test_clips_and_traces_are_rows_like_others():
    fields = (Video(size=64, frames=16), Sensor(channels=trace.AXIS_NAMES))
    batch = World(fields, "validation", seed=2).read(range(6))
    scenes = scene.draw("validation", np.arange(6), 2)
    np.testing.assert_array_equal(batch["video"], clip.render(scenes))
    np.testing.assert_allclose(batch["sensor"], trace.render(scenes), atol=1e-5)
    assert batch["video/mask"].all() and batch["sensor/mask"].all()


def test_all_five_senses_are_written_as_files_and_read_back(tmp_path):
    scenes = scene.distinct("validation", 6, seed=1)
    said = [caption.render(scenes, caption.MOTION)]
    write_world(tmp_path, scenes, said, senses=("image", "text", "audio", "video", "sensor", "question"))
    names = [f"{i:05d}" for i in range(6)]
    for folder, suffix in (("images", "png"), ("captions", "txt"), ("audio", "wav"), ("video", "mp4"), ("sensor", "csv")):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [f"{name}.{suffix}" for name in names]
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert rows[3] == {
        "id": "00003",
        "image": "images/00003.png",
        "audio": "audio/00003.wav",
        "video": "video/00003.mp4",
        "sensor": "sensor/00003.csv",
        "caption": said[0][3],
    }
    asked = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    expected = [(names[one.row], one.question, one.answer, one.type) for one in question.ask(scenes)]
    assert [(one["id"], one["question"], one["answer"], one["type"]) for one in asked] == expected
    traces = [tmp_path / row["sensor"] for row in rows]
    field = Sensor.from_files(traces)
    assert (field.channels, field.rate, field.seconds) == (trace.AXIS_NAMES, 50.0, 2.0) and field.units == ("m/s^2",) * 3
    read = np.stack([field.prepare(path)["sensor"] for path in traces])
    np.testing.assert_allclose(read, trace.render(scenes), rtol=1e-5, atol=1e-4)
    seen = np.stack([Video(frames=16).prepare(tmp_path / row["video"])["video"] for row in rows])
    kinds = motion.draw(scenes).kind
    assert (judge_motion.motions_of_clips(seen) == kinds).all() and (judge_motion.motions_of_traces(read) == kinds).all()


def test_what_the_world_cannot_write_is_an_error(tmp_path):
    with pytest.raises(UnknownName, match=r"the world has no 'smell' to write.*audio"):
        write_world(tmp_path, scene.distinct("train", 1), [["x"]], senses=("smell",))


def test_a_folder_of_five_senses_is_a_collection_like_any_other(tmp_path):
    scenes = scene.distinct("train", 5, seed=4)
    senses = ("image", "text", "audio", "video", "sensor")
    write_world(tmp_path, scenes, [caption.render(scenes, "list")], senses=senses)
    (tmp_path / "manifest.jsonl").unlink()
    (tmp_path / "sensor" / "00001.csv").write_text("time,ax,ay,az\n0,1,2,x\n")
    folder = data.open(tmp_path)
    field = next(field for field in folder.fields if isinstance(field, Sensor))
    assert {field.kind for field in folder.fields} == set(senses)
    assert (field.channels, field.rate, field.length, field.units) == (trace.AXIS_NAMES, 50.0, 100, ("m/s^2",) * 3)
    batch = folder.read(range(5))
    assert batch["sensor/here"].tolist() == [True, False, True, True, True]
    np.testing.assert_allclose(batch["sensor"][2:], trace.render(scenes)[2:], rtol=1e-5, atol=1e-4)
    health = data.check(tmp_path)
    assert [(problem.kind, problem.cause) for problem in health.broken] == [("sensor", "line 2, column 'az': 'x' is no number")]
    (tmp_path / "sensor" / "00001.csv").rename(tmp_path / "alone.csv")
    assert fields_for([Item("a", {"sensor": (tmp_path / "alone.csv",)})]) == (Sensor(channels=1),), "which refuses it by name"
