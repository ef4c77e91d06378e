"""A collection that is kept up to date: only what is new or changed is embedded, whoever is killed loses nothing, and what comes
out is what one run would have made."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image as Pillow
from search.drivers import contents
from search.fake import COLOURS, Tricolour, folder

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.search import Collection
from sensorium.search.lance import Lance
from sensorium.search.memory import Memory
from sensorium.search.places import store_at
from sensorium.search.prefix import Prefix
from sensorium.search.where import Compare

KILLS = 3


def update(model, items, place, root):
    made = Collection.update(model, items, place, root=root)
    return made, asdict(made.changes)


def embedded(model):
    return sum(sum(call.values()) for call in model.calls)


@pytest.mark.parametrize("kind", ["memory", "lance"])
def test_a_second_run_touches_only_what_is_new_changed_or_gone(tmp_path, kind):
    place = tmp_path / "c" if kind == "lance" else f"memory:{tmp_path}"
    root, model = tmp_path / "files", Tricolour()
    items = folder(root)
    made, changes = update(model, items, place, root)
    assert changes == {"added": 6, "changed": 0, "deleted": 0, "unchanged": 0, "failed": 0}
    before, version = contents(made.store), made.store.version
    model.calls.clear()
    made, changes = update(model, items, place, root)
    assert changes["unchanged"] == 6 and sum(changes.values()) == 6 and not model.calls
    assert contents(made.store) == before and made.store.version == version
    Pillow.new("RGB", (16, 16), (0, 0, 255)).save(root / "images/yellow.png")  # another picture of another time
    os.utime(root / "images/red.png", ns=(1, 1))  # the same bytes
    again = [items[0], replace(items[1], metadata={"page": 9}), *items[3:], Item("new", {"text": ("red red",)})]
    made, changes = update(model, again, place, root)
    assert changes == {"added": 1, "changed": 2, "deleted": 1, "unchanged": 3, "failed": 0}
    assert embedded(model) == 2 + 4 + 1  # yellow, green, new
    assert len(made) == 6 and made.row("green").metadata == {"page": 9}
    blue = made.query(model, text="blue", k=1, within="image")
    assert [hit.id for hit in blue] == ["yellow"] and blue[0].score > 0.6
    stamps = {row["item"]: row["stamp"] for row in contents(made.store)}
    assert ", 1, " in stamps["red"] and "blue" not in stamps
    whole = Collection.update(Tricolour(), again, "memory:", root=root)
    assert contents(whole.store) == contents(made.store)
    model.calls.clear()
    assert update(model, again, place, root)[1]["unchanged"] == 6 and not model.calls


def test_files_are_compared_by_size_then_time_then_bytes(tmp_path):
    root = tmp_path / "files"
    items = folder(root)[:1]
    sound, model = root / "audio/red.wav", Tricolour()
    made, _ = update(model, items, "memory:stamps", root)
    whole = sound.read_bytes()
    time = sound.stat().st_mtime_ns
    for data, when, expected in (
        (whole, time + 10**9, "unchanged"),
        (whole[:-2] + b"\1\1", time + 2 * 10**9, "changed"),
        (whole + b"\0\0", time + 2 * 10**9, "changed"),
    ):
        sound.write_bytes(data)
        os.utime(sound, ns=(when, when))
        assert update(model, items, "memory:stamps", root)[1][expected] == 1
    moved = tmp_path / "moved"
    shutil.move(root, moved)
    (item,) = items
    there = {kind: tuple(moved / r.relative_to(root) if kind != "text" else r for r in raws) for kind, raws in item.raws.items()}
    made, changes = update(model, [Item(item.id, there, item.metadata)], "memory:stamps", moved)
    assert changes["unchanged"] == 1 and made.file("red", "image") == moved / "images/red.png"


def test_what_could_not_be_read_is_tried_again_when_it_has_changed_or_on_demand(tmp_path):
    root, model, place = tmp_path / "files", Tricolour(), "memory:broken"
    items = folder(root)
    good = (root / "images/yellow.png").read_bytes()
    (root / "images/yellow.png").write_bytes(b"no picture")
    items[3] = Item("yellow", {"image": items[3].raws["image"]})
    made, changes = update(model, items, place, root)
    assert changes["failed"] == 1 and changes["added"] == 5 == len(made) and [p.kind for p in made.problems] == ["image", "item"]
    model.calls.clear()
    made, changes = update(model, items, place, root)
    assert changes["unchanged"] == 6 and not model.calls and len(made.problems) == 2
    changes = Collection.update(model, items, place, root=root, retry=True).changes
    assert (changes.failed, changes.changed, changes.unchanged) == (1, 0, 5)
    (root / "images/yellow.png").write_bytes(good)
    made, changes = update(model, items, place, root)
    assert changes["changed"] == 1 and len(made) == 6 and made.problems == ()


@pytest.mark.parametrize("kind", ["memory", "lance"])
def test_another_model_is_refused_until_all_is_made_anew(tmp_path, kind):
    place = tmp_path / "c" if kind == "lance" else f"memory:{tmp_path}"
    items = folder(tmp_path / "files")
    Collection.update(Tricolour(), items, place, root=tmp_path / "files")
    other = Tricolour(fields=Tricolour().fields[:2], fingerprint="tricolour-2")
    with pytest.raises(
        SensoriumError, match=r"tricolour-2.*sensorium index .*files --model MODEL --out .* --anew .MODEL: the folder"
    ):
        Collection.update(other, items, place, root=tmp_path / "files")
    (tmp_path / "new model").mkdir()
    told = rf"files --model '{tmp_path}/new model' --out \S+ --dims 3 --centre --precision f16 --anew$"
    with pytest.raises(SensoriumError, match=told):
        given = {"model_path": tmp_path / "new model", "precision": "f16"}
        Collection.update(Prefix(other, 3), items, place, root=tmp_path / "files", **given, centre=True)
    assert Collection.open(place).fingerprint == "tricolour-1"
    made = Collection.update(other, items, place, root=tmp_path / "files", anew=True)
    assert made.fingerprint == "tricolour-2" and made.fields == ("image", "text") and len(made) == 5


@pytest.mark.parametrize("kind", ["memory", "lance"])
def test_what_is_refused_anew_leaves_what_was_there(tmp_path, kind):
    place = tmp_path / "c" if kind == "lance" else f"memory:{tmp_path}"
    root, model = tmp_path / "files", Tricolour()
    items = folder(root)
    made = Collection.update(model, items, place, root=root)
    before, about = contents(made.store), made.store.about
    absent = Item("a", {"image": (root / "no.png",)})
    for given, some, dials, text in (
        (Prefix(model, 9999), items, None, "dims=9999: vectors of this model have 6 numbers"),
        (model, items, "binary", "8"),
        (model, [*items, items[0]], None, "two items are called 'red'"),
        (model, iter([*items, items[0]]), None, "two items are called 'red'"),
        (model, [absent], None, r"nothing could be embedded.*The first problem: .*no\.png"),
        (model, [], None, "There are no items"),
    ):
        with pytest.raises(SensoriumError, match=text):
            Collection.update(given, some, place, root=root, anew=True, precision=dials)
        opened = Collection.open(place)
        assert contents(opened.store) == before and opened.store.about == about
    made = Collection.update(Prefix(model, 4), [absent, *items[:2]], place, root=root, anew=True, precision="f16")
    assert len(made) == 2 and made.store.about["dims"] == 4 and [p.kind for p in made.problems] == ["image", "item"]


@pytest.mark.parametrize("kind", ["memory", "lance"])
def test_an_empty_place_takes_any_dials(tmp_path, kind):
    place = tmp_path / "c" if kind == "lance" else f"memory:{tmp_path}"
    root, model = tmp_path / "files", Tricolour()
    items = folder(root)
    for given, precision in ((Prefix(model, 9999), None), (model, "binary")):
        with pytest.raises(SensoriumError):
            Collection.update(given, items, place, root=root, precision=precision)
        assert not (tmp_path / "c").exists()
    store = store_at(place, create=True)
    store.describe({"fingerprint": "other", "precision": "binary", "dims": 9999, "complete": False})  # as it was left before
    made = Collection.update(model, items, place, root=root, precision="int8")
    assert len(made) == 6 and made.fingerprint == "tricolour-1" and made.store.about["precision"] == "int8"
    made.store.delete(Compare("item", "known"))  # its columns stay
    made = Collection.update(Prefix(model, 4), items, place, root=root)
    assert len(made) == 6 and made.store.about["precision"] == "f32" and made.store.about["dims"] == 4


def test_a_new_collection_takes_no_rows_of_another_that_came_meanwhile(tmp_path):
    root, place = tmp_path / "files", tmp_path / "c"
    items = folder(root)

    class Slow(Tricolour):
        def encode(self, **raws):
            if not place.exists():
                Collection.update(Tricolour(), items, place, root=root)
            return super().encode(**raws)

    with pytest.raises(SensoriumError, match="another collection was made here meanwhile"):
        Collection.update(Slow(fingerprint="slow"), items, place, root=root)
    assert len(Collection.open(place)) == 6 and Collection.open(place).fingerprint == "tricolour-1"


def killable(root, late=False):
    """Forty items, every fourth a text of several passages (of fewer, `late`), which four at a time are embedded and written."""
    counts = [1 + (15 if late else 30) * (i % 4 == 0) for i in range(40)]
    items = [Item(f"{i:02d}", {"text": (" ".join([list(COLOURS)[i % 3]] * count),)}) for i, count in enumerate(counts)]
    picture = root / "picture.png"
    if not picture.exists():
        Pillow.new("RGB", (32, 32), (255, 0, 0)).save(picture)
    return [replace(item, raws={**item.raws, "image": (picture,)}) if i % 5 == 1 else item for i, item in enumerate(items)]


CHILD = """
import os, random, signal, sys, threading, time
from pathlib import Path
from search.fake import Tricolour
from search.test_update import killable
from sensorium.search import Collection, embed
embed._ITEMS = 4
root, place, seed, late = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "late"
chance, calls = random.Random(seed), []
when = chance.randint(2, 6) if late else chance.randint(4, 14)
class Dying(Tricolour):
    def encode(self, **raws):
        calls.append(1)
        if len(calls) == when:
            wait = chance.uniform(0, 0.03)
            threading.Thread(target=lambda: (time.sleep(wait), os.kill(os.getpid(), signal.SIGKILL))).start()
        return super().encode(**raws)
Collection.update(Dying(), killable(root, late), place, root=root)
"""


def test_killed_at_any_moment_it_goes_on_and_ends_as_if_nothing_had_been(tmp_path):
    place, found = tmp_path / "c", []
    killable(tmp_path)
    for seed in range(KILLS):
        late = "late" if seed >= KILLS / 2 else "early"  # then the long texts have changed to shorter ones
        words = [sys.executable, "-c", CHILD, str(tmp_path), str(place), str(seed), late]
        paths = os.pathsep.join([os.path.dirname(os.path.dirname(__file__)), *sys.path])
        done = subprocess.run(words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -9), done.stderr
        found.append(done.returncode)
        rows = contents(Lance(place))
        assert len({row["id"] for row in rows}) == len(rows)
        for item in {row["item"] for row in rows}:
            own = [row for row in rows if row["item"] == item]
            assert [row["part"] for row in own] == list(range(own[0]["parts"])) and own[0]["stamp"]
            assert {row["parts"] for row in own} == {len(own)}
    assert found.count(-9) >= 2
    made = Collection.update(Tricolour(), killable(tmp_path, late=True), place, root=tmp_path)
    whole = Collection.update(Tricolour(), killable(tmp_path, late=True), "memory:", root=tmp_path)
    assert len(made) == len(whole) == 40 and made.store.count() > 60 and not made.changes.deleted
    one, other = contents(made.store), contents(whole.store)
    assert [row["id"] for row in one] == [row["id"] for row in other]
    for a, b in zip(one, other, strict=True):
        for name in b:
            if name.startswith("vector_") and b[name] is not None:
                np.testing.assert_allclose(a[name], b[name], atol=1e-6)
            else:
                assert a[name] == b[name], (a["id"], name)


def test_blocks_are_written_together_unless_that_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr("sensorium.search.embed._ITEMS", 2)
    items, sizes, real = folder(tmp_path), [], Memory.upsert
    monkeypatch.setattr(
        Memory, "upsert", lambda self, rows, *old: sizes.append(len(set(rows["item"].to_pylist()))) or real(self, rows, *old)
    )
    for most, often, expected in ((512, 60.0, [6]), (4, 60.0, [4, 2]), (512, 0.0, [2, 2, 2])):
        monkeypatch.setattr("sensorium.search.update._AT_ONCE", most)
        monkeypatch.setattr("sensorium.search.update._OFTEN", often)
        sizes.clear()
        Collection.update(Tricolour(), items, "memory:", root=tmp_path)
        assert sizes == expected


def test_a_block_is_embedded_while_the_one_before_is_written(tmp_path, monkeypatch):
    """And what goes wrong with a write is told."""
    monkeypatch.setattr("sensorium.search.embed._ITEMS", 2)
    monkeypatch.setattr("sensorium.search.update._AT_ONCE", 2)
    items, model, calls, full = folder(tmp_path), Tricolour(), [], [False]
    Collection.update(first := Tricolour(), items[:2], "memory:", root=tmp_path)
    real, of_one = Memory.upsert, len(first.calls)

    def slow(self, rows, instead_of=None):
        for _ in range(3000 if not calls else 0):  # the first one waits to see the next at work
            if len(model.calls) > of_one:
                break
            time.sleep(0.02)
        calls.append(len(model.calls) > of_one)
        if full[0] and len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(self, rows, instead_of)

    monkeypatch.setattr(Memory, "upsert", slow)
    made = Collection.update(model, items, "memory:", root=tmp_path)
    assert calls[0] and len(calls) == 3 and len(made) == 6
    calls, full[0] = [], True
    with pytest.raises(OSError, match="No space left"):
        Collection.update(model, items, f"memory:{tmp_path}", root=tmp_path)


@pytest.mark.parametrize("other", [[], [Item("new", {"text": ("red",)})]], ids=["nothing", "another folder"])
def test_a_folder_without_any_of_its_items_takes_nothing_away(tmp_path, other):
    place, items = tmp_path / "c", folder(tmp_path / "files")
    made, _ = update(Tricolour(), items, place, tmp_path / "files")
    before, about = contents(made.store), made.store.about
    for given in (other, tuple(other)):
        with pytest.raises(SensoriumError, match=f"none of the 6 items of this collection is among the {len(other)} .*--anew"):
            update(Tricolour(), given, place, tmp_path)
    with pytest.raises(SensoriumError, match="none was removed"):
        update(Tricolour(), iter(()), place, tmp_path / "files")
    opened = Collection.open(place)
    assert contents(opened.store) == before and opened.store.about | {"complete": True} == about
    if other:
        assert len(Collection.update(Tricolour(), other, place, anew=True)) == 1
