import json

import numpy as np
import pyarrow as pa
import pytest
from search.drivers import DRIVERS, contents, rows
from search.fake import Tricolour, folder

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.search import Collection, Memory
from sensorium.search.files import export, load
from sensorium.search.lance import Lance
from sensorium.search.moving import checksum, push, verified
from sensorium.search.precision import converted
from sensorium.search.rows import key
from sensorium.search.where import Compare


@pytest.fixture
def made(tmp_path) -> Collection:
    return Collection.update(Tricolour(), folder(tmp_path / "files"), "memory:", root=tmp_path / "files")


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_pushed_is_there_and_nothing_else(made, tmp_path, driver):
    target = DRIVERS[driver].make(tmp_path)
    told = push(made.store, target)
    assert told["rows"] == 6 and set(told["recall"].values()) == {1.0} and len(told["sha256"]) == 64
    assert contents(target) == contents(made.store)
    assert Collection(target).query(Tricolour(), text="blue") == made.query(Tricolour(), text="blue")
    made.store.delete(Compare("item", "=", "hum"))
    assert push(made.store, target)["rows"] == 5 and contents(target) == contents(made.store)
    known = made.store.get([key(id) for id in ("red", "blue")])
    fewer = Memory()
    fewer.describe(made.store.about)
    fewer.upsert(known.drop_columns([name for name in known.column_names if name.endswith("audio")]))
    assert set(push(fewer, target)["recall"]) < set(told["recall"]) and target.count() == 2, "what it had before is no matter"
    here = made.store.about
    made.store.describe(here | {"root": "elsewhere"})
    with pytest.raises(SensoriumError, match="and this one is of elsewhere: give --overwrite"):
        push(made.store, target)
    assert target.count() == 2 and target.about["root"] == here["root"], "nothing is lost"
    assert push(made.store, target, overwrite=True)["rows"] == 5 and target.about["root"] == "elsewhere"
    with pytest.raises(SensoriumError, match="another model"):
        push(made.store, _told(target))


def test_an_empty_target_takes_any_model(made):
    assert push(made.store, target := _told(Memory()))["rows"] == 6 and target.about["fingerprint"] == "tricolour-1"


def _told(store):
    store.describe(store.about | {"fingerprint": "other"})
    return store


def test_a_copy_that_is_none_is_found_out(made):
    def copy(change):
        other = Memory()
        for table in made.store.scan():
            other.upsert(table)
        change(other)
        return other

    assert verified(made.store, copy(lambda other: None))["rows"] == 6
    some = made.store.get(made.store.scan(["id"]).__next__()["id"].to_pylist()[:1])
    with pytest.raises(SensoriumError, match="5 rows arrived of 6"):
        verified(made.store, copy(lambda other: other.delete(Compare("item", "=", "red"))))
    for name in ("record", "thumbnail", "vector_text"):
        row = some.to_pylist()[0]
        row[name] = {"record": "{}", "thumbnail": b"x"}.get(name) or [*row["vector_text"][:-1], 0.5]
        with pytest.raises(SensoriumError, match="not those that were sent"):
            verified(made.store, copy(lambda other, row=row: other.upsert(some.from_pylist([row], some.schema))))


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_a_failed_import_left_gives_way_to_the_whole(made, tmp_path, driver):
    export(made.store, tmp_path / "folder")
    lines, target = (tmp_path / "folder/rows.jsonl").read_text(), DRIVERS[driver].make(tmp_path)
    (tmp_path / "folder/rows.jsonl").write_text("".join(lines.splitlines(keepends=True)[:3]))
    with pytest.raises(BadFile, match="3 lines, expected 6"):
        load(tmp_path / "folder", target)
    target.upsert(made.store.get([key("red")]))  # some of it had come
    (tmp_path / "folder/rows.jsonl").write_text(lines)
    assert load(tmp_path / "folder", target) == 6 and checksum(target) == checksum(made.store)


@pytest.mark.parametrize("name", ["c.parquet", "folder"])
def test_what_is_exported_comes_back(made, tmp_path, name):
    made.store.upsert(rows(["zz\t000000"], item=["zz"]))  # with nulls in all other columns
    assert export(made.store, tmp_path / name) == 7
    back = Memory()
    assert load(tmp_path / name, back) == 7
    assert contents(back) == contents(made.store) and back.about == made.store.about
    assert checksum(back) == checksum(made.store)
    with pytest.raises(SensoriumError, match=r"no collection is written as \.csv: name a \.parquet"):
        export(made.store, tmp_path / "out.csv")
    with pytest.raises(SensoriumError, match="exists: give a new name"):
        export(made.store, tmp_path / name)
    with pytest.raises(SensoriumError, match="holds rows already"):
        load(tmp_path / name, back)


def test_a_folder_of_it_is_read_without_us(made, tmp_path):
    export(made.store, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    arrays = np.load(tmp_path / "out/vectors.npz")
    z = dict(zip((lines[i]["item"] for i in arrays["vector_text.rows"]), arrays["vector_text"], strict=True))
    np.testing.assert_allclose(z["words"], Tricolour().encode(text=["blue and green"])["text"][0], rtol=1e-6)
    assert "hum" not in z and len(z) == 5


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
def test_indexes_of_faiss_find_what_the_store_finds(made, tmp_path):
    import faiss

    assert export(made.store, tmp_path / "c.faiss") == 6
    query = Tricolour().encode(text=["blue"])["text"]
    for name in ("vector_image", "vector_text", "vector_audio"):
        index = faiss.read_index(str(tmp_path / f"c.faiss/{name}.faiss"))
        keys = json.loads((tmp_path / f"c.faiss/{name}.json").read_text())
        (scores,), (rows_,) = index.search(query, 2)
        expected = made.store.search(name, query, len(keys))[0]
        assert index.ntotal == len(keys) == len(expected)
        np.testing.assert_allclose(scores, [hit.score for hit in expected[:2]], atol=1e-6)
        for row, score in zip(rows_.tolist(), scores.tolist(), strict=True):
            assert dict(expected)[keys[row]] == pytest.approx(score, abs=1e-6)


def test_an_import_has_the_indexes_that_it_tells_of(tmp_path):
    x = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    there = Memory()
    there.upsert(rows([f"{i:03d}" for i in range(600)], x=x))
    there.describe({"fingerprint": "f", "indexes": {"x": {"kind": "IVF_RQ", "rows": 600, "recall": 0.99, "seconds": 1.0}}})
    export(there, tmp_path / "c.parquet")
    for exact, kind in ((500, "IVF_SQ"), (1000, "exact")):
        store = Lance(tmp_path / kind, exact=exact)
        load(tmp_path / "c.parquet", store)
        assert store.about["indexes"]["x"]["kind"] == kind and store.about["fingerprint"] == "f"
        assert [index.columns for index in store._db.open_table("rows").list_indices()].count(["x"]) == (kind != "exact")


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
@pytest.mark.parametrize("precision", ["f32", "f16", "int8", "binary"])
@pytest.mark.parametrize("name", ["c.faiss", "c"])
def test_what_is_exported_comes_back_bit_for_bit_in_every_precision(tmp_path, name, precision):
    """More rows than are written at once, with and without vectors and pictures."""
    x = np.random.default_rng(0).normal(size=(2500, 16)).astype(np.float32)
    there, has = Memory(), np.arange(2500) % 3 != 0
    table = rows([f"{i:04d}" for i in range(2500)], x=x)
    column = pa.array([row if one else None for row, one in zip(x.tolist(), has, strict=True)], table["x"].type)
    pictures = pa.array([None if i % 2 else bytes([i % 256]) * (i % 5) for i in range(2500)], pa.large_binary())
    there.upsert(converted(table.set_column(1, "x", column).append_column("thumbnail", pictures), precision))
    there.describe({"fingerprint": "f"})
    assert export(there, tmp_path / name) == 2500
    assert load(tmp_path / name, other := Memory()) == 2500
    assert contents(other) == contents(there)
    assert {(field.name, field.type) for field in other.schema} == {(field.name, field.type) for field in there.schema}
    about = json.loads((tmp_path / name / "about.json").read_text())
    (tmp_path / name / "about.json").write_text(json.dumps(about | {"vectors": {"y": precision}}))
    with pytest.raises(BadFile, match="0 vectors y"):
        load(tmp_path / name, Memory())
    left = sorted(path.name for path in (tmp_path / name).iterdir())
    assert left == ["about.json", "rows.jsonl", "vectors.npz", *(["x.faiss", "x.json"] if name.endswith("faiss") else [])]


def test_an_index_of_faiss_alone_is_no_collection(tmp_path):
    (tmp_path / "x.faiss").mkdir()
    (tmp_path / "x.faiss/vector_text.faiss").write_bytes(b"index")
    for name, told in (("x.faiss/vector_text.faiss", "give the folder"), ("x.faiss", "about.json: no such file")):
        with pytest.raises(BadFile, match=told):
            load(tmp_path / name, Memory())


def test_what_is_no_export_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/about.json").write_text("{}")
    for name in ("x.parquet", "none.parquet", "folder"):
        with pytest.raises(BadFile, match=name):
            load(tmp_path / name, Memory())
