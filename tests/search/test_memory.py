import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core import files
from sensorium.core.errors import BadFile, SensoriumError, UnknownName
from sensorium.search import memory
from sensorium.search.memory import Memory, top
from sensorium.search.store import Entry, Row, Store


def entry(key: str, thumbnail: bytes | None = None, **vectors) -> Entry:
    return Entry(
        Row(key, {"image": f"{key}.png"}, (f"a {key}",), {"n": 1}),
        {k: np.array(v, np.float32) for k, v in vectors.items()},
        thumbnail,
    )


def filled(path, *entries: Entry, about=None) -> Memory:
    store = Memory.create(path)
    store.upsert(entries)
    store.commit(about or {"made": "here"})
    return store


def state(store: Memory):
    rows = range(store.count())
    vectors = {name: store.search(name, np.eye(2, dtype=np.float32)[0], 99) for name in store._vectors}
    return store.get(rows), [store.thumbnail(r) for r in rows], vectors, store.about


@given(st.data())
def test_search_equals_brute_force(tmp_path_factory, data):
    rows, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5))
    k = data.draw(st.integers(1, 50))
    numbers = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-2, 3, (rows + 1, width)).astype(np.float32)
    has = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    path = tmp_path_factory.mktemp("store")
    entries = [entry(str(i), **({"x": numbers[i]} if has[i] else {"y": numbers[i]})) for i in range(rows)]
    store = filled(path, *entries)
    if not has.any():
        with pytest.raises(UnknownName, match="Known: y"):
            store.search("x", numbers[-1], k)
        return
    scores = numbers[:-1] @ numbers[-1]
    expected = sorted((row for row in range(rows) if has[row]), key=lambda row: (-scores[row], row))[:k]
    assert store.search("x", numbers[-1], k) == [(row, float(scores[row])) for row in expected]


@given(st.lists(st.integers(-3, 3), min_size=1), st.integers(1, 60))
def test_top_is_a_stable_sort(values, k):
    scores = np.array(values, np.float32)
    assert top(scores, k).tolist() == sorted(range(len(values)), key=lambda i: -values[i])[:k]


def test_a_search_in_chunks_equals_one_in_a_piece(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    store = filled(tmp_path, *(entry(str(i), x=v) for i, v in enumerate(x)))
    whole = store.search("x", x[3], 50)
    monkeypatch.setattr(memory, "_CHUNK", 7)
    again = store.search("x", x[3], 50)
    assert [r for r, _ in again] == [r for r, _ in whole]
    # Products of other shapes round otherwise, by the size of the largest score and not of the one near 0.
    np.testing.assert_allclose([s for _, s in again], [s for _, s in whole], rtol=1e-5, atol=1e-6)


def test_rows_come_back_from_the_disk(tmp_path):
    made = filled(tmp_path / "c", entry("a", b"jpeg", x=[1, 0]), entry("b", x=[0, 1], y=[3, 4]), entry("ü", b"x" * 9, y=[1, 1]))
    opened = Memory.open(tmp_path / "c")
    assert isinstance(opened, Store)
    assert state(opened) == state(made)
    assert opened.get([2])[0] == Row("ü", {"image": "ü.png"}, ("a ü",), {"n": 1})
    assert [opened.thumbnail(r) for r in range(3)] == [b"jpeg", None, b"x" * 9]
    assert (opened.count(), opened.count("x"), opened.count("y"), opened.count("z")) == (3, 2, 2, 0)
    assert isinstance(opened._vectors["x"], np.memmap)


def test_upsert_replaces_a_row_in_its_place_with_all_that_it_had(tmp_path):
    filled(tmp_path, entry("a", b"old", x=[1, 0], y=[1, 0]), entry("b", b"stays", x=[0, 1]))
    store = Memory.open(tmp_path)
    store.upsert([entry("c", b"new", x=[1, 1]), entry("a", x=[0, 2])])
    assert store.count() == 2  # not before the commit
    store.commit({"made": "again"})
    for seen in (store, Memory.open(tmp_path)):
        assert [row.id for row in seen.get(range(3))] == ["a", "b", "c"]
        assert seen.search("x", np.array([0, 1], np.float32), 9) == [(0, 2.0), (1, 1.0), (2, 1.0)]
        assert seen.count("y") == 0
        assert [seen.thumbnail(r) for r in range(3)] == [None, b"stays", b"new"]
        assert seen.about == {"made": "again"}
    assert len(list(tmp_path.glob("rows-*"))) == 1


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(8))
def test_an_error_between_two_writes_leaves_the_old_rows(tmp_path, monkeypatch, step):
    """The generation of two fields is seven files, the manifest is the eighth."""
    before = state(filled(tmp_path, entry("a", b"t", x=[1, 0], y=[0, 1])))
    store, replacing, calls = Memory.open(tmp_path), files.replacing, []
    store.upsert([entry("a", x=[0, 5], y=[1, 1]), entry("b", x=[2, 2])])

    def dying(path):
        calls.append(path)
        if len(calls) > step:
            raise Killed
        return replacing(path)

    monkeypatch.setattr(memory, "replacing", dying)
    monkeypatch.setattr("sensorium.core.files.replacing", dying)
    with pytest.raises(Killed):
        store.commit({"made": "never"})
    assert calls[-1].name == ["rows.jsonl", *[f"vectors-{n}{s}.npy" for n in "xy" for s in ("", ".rows")], "thumbnails.bin",
                              "thumbnails.npy", "manifest.json"][step]  # fmt: skip
    assert state(Memory.open(tmp_path)) == before


@pytest.mark.parametrize("step", [3, 7])
def test_a_killed_process_leaves_the_old_rows(tmp_path, step):
    before = state(filled(tmp_path, entry("a", b"t", x=[1, 0], y=[0, 1])))
    code = f"""
import os, sys, numpy as np
from sensorium.core import files
from sensorium.search import memory
from sensorium.search.store import Entry, Row
left, real = [{step}], os.replace
def replace(a, b):
    if left[0] == 0: os._exit(9)
    left[0] -= 1
    real(a, b)
os.replace = replace
store = memory.Memory.open({str(tmp_path)!r})
store.upsert([Entry(Row("b"), {{"x": np.ones(2, np.float32), "y": np.ones(2, np.float32)}})])
store.commit({{}})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert state(Memory.open(tmp_path)) == before
    assert len(list(tmp_path.glob("rows-*"))) == 2  # the remains of the killed writer
    old = time.time() - 2 * memory._STALE
    for folder in tmp_path.glob("rows-*"):
        os.utime(folder, (old, old))
    filled(tmp_path, entry("c", x=[1, 1]))
    assert len(list(tmp_path.glob("rows-*"))) == 1


def test_a_young_stranger_is_left_alone(tmp_path):
    filled(tmp_path, entry("a", x=[1, 1]))
    (tmp_path / "rows-other").mkdir()
    filled(tmp_path, entry("b", x=[1, 1]))
    assert (tmp_path / "rows-other").is_dir()


def test_the_current_generation_stays_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_STALE", -1e9)
    filled(tmp_path, entry("a", x=[1, 1]))
    assert Memory.open(tmp_path).count() == 1


def test_a_reader_between_two_generations_reads_the_new_one(tmp_path, monkeypatch):
    filled(tmp_path, entry("a", x=[1, 1]))
    manifest, stale = memory._manifest, memory._manifest(tmp_path)
    filled(tmp_path, entry("b", x=[1, 1]))
    answers = [stale]
    monkeypatch.setattr(memory, "_manifest", lambda path: answers.pop() if answers else manifest(path))
    assert Memory.open(tmp_path).get([0])[0].id == "b"


def test_a_file_that_was_cut_is_an_error_and_no_crash(tmp_path):
    filled(tmp_path, *(entry(str(i), x=[1, i]) for i in range(500)))
    (vectors,) = tmp_path.glob("rows-*/vectors-x.npy")
    vectors.write_bytes(vectors.read_bytes()[:200])
    with pytest.raises(BadFile, match=r"vectors-x\.npy: 200 bytes, expected 4128 bytes"):
        Memory.open(tmp_path)
    vectors.unlink()
    with pytest.raises(BadFile, match="missing"):
        Memory.open(tmp_path)


def test_what_is_no_collection_is_refused(tmp_path):
    with pytest.raises(BadFile, match="no collection is here"):
        Memory.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "something else"}')
    for call in (Memory.open, Memory.create):
        with pytest.raises(BadFile, match="not a collection"):
            call(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"cat")
    for path in (photos, photos / "cat.jpg"):
        with pytest.raises(SensoriumError, match="is no collection: give a new path"):
            Memory.create(path)


def test_bad_vectors_are_refused(tmp_path):
    store = Memory.create(tmp_path)
    with pytest.raises(SensoriumError, match="'a': its vector for 'x' holds NaN"):
        store.upsert([entry("a", x=[1, float("nan")])])
    store.upsert([entry("a", x=[1, 2]), entry("b", x=[1, 2])])
    store.commit({})
    with pytest.raises(SensoriumError, match="a query of 3 numbers"):
        store.search("x", np.ones(3, np.float32), 1)
    store.upsert([entry("c", x=[1, 2, 3])])
    with pytest.raises(SensoriumError, match=r"different lengths: \[2, 3\]"):
        store.commit({})


def test_metadata_that_json_cannot_hold_is_an_error_that_names_the_item(tmp_path):
    store = Memory.create(tmp_path)
    store.upsert([Entry(Row("odd", metadata={"when": object()}), {"x": np.ones(2, np.float32)})])
    with pytest.raises(SensoriumError, match="item 'odd'"):
        store.commit({})


def test_closing_lets_go_of_the_files(tmp_path):
    store = filled(tmp_path, entry("a", x=[1, 1]))
    store.close()
    assert store.count() == 0


def test_the_manifest_is_small_and_readable(tmp_path):
    filled(tmp_path, entry("a", x=[1, 1]), about={"model": "m"})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["about"] == {"model": "m"} and manifest["fields"] == ["x"]
