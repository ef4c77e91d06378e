import json

import numpy as np
import pytest
from search.drivers import DRIVERS, contents, rows
from search.fake import Tricolour, folder

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.search import Collection, Memory
from sensorium.search.files import export, load
from sensorium.search.moving import checksum, push, verified
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
    with pytest.raises(SensoriumError, match="another model"):
        push(made.store, _told(target))


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


@pytest.mark.parametrize("name", ["c.parquet", "folder"])
def test_what_is_exported_comes_back(made, tmp_path, name):
    made.store.upsert(rows(["zz\t000000"], item=["zz"]))  # with nulls in all other columns
    assert export(made.store, tmp_path / name) == 7
    back = Memory()
    assert load(tmp_path / name, back) == 7
    assert contents(back) == contents(made.store) and back.about == made.store.about
    assert checksum(back) == checksum(made.store)
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


def test_what_is_no_export_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/about.json").write_text("{}")
    for name in ("x.parquet", "none.parquet", "folder"):
        with pytest.raises(BadFile, match=name):
            load(tmp_path / name, Memory())
