"""Shards as a collection: what `sensorium index` would have made, and what it goes on with."""

import pytest
from bulk.stand_in import load, spec

from sensorium.bulk.job import Job
from sensorium.bulk.read import gather
from sensorium.bulk.run import here
from sensorium.bulk.shard import files_of, run_shard
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.search import Collection
from sensorium.search.moving import checksum
from sensorium.search.places import store_at


def test_shards_are_the_collection_that_an_index_would_have_made(tmp_path):
    job = Job(spec(tmp_path, ["x"] * 7, 3))
    assert not here(job.spec, range(3), lambda report: None, lambda items: None)
    bulk, plain = store_at("memory:bulk", create=True), "memory:plain"
    assert gather(job.spec.out, bulk) == 7
    made = Collection.update(load("weak"), job.listed, plain, root=job.root, model_path=bulk.about["model"])
    rows = [{row["id"]: row for table in store.scan() for row in table.to_pylist()} for store in (bulk, made.store)]
    assert rows[0] == rows[1] and len(rows[0]) == 7
    told = [{key: value for key, value in store.about.items() if key not in ("made", "indexes")} for store in (bulk, made.store)]
    assert told[0] == told[1]
    assert [hit.id for hit in Collection(bulk).query(load("weak"), text="red", k=3)] == [
        hit.id for hit in made.query(load("weak"), text="red", k=3)
    ]
    again = Collection.update(load("weak"), job.listed, "memory:bulk", root=job.root)
    assert (again.changes.unchanged, again.changes.added, again.changes.changed) == (7, 0, 0)
    with pytest.raises(SensoriumError, match="holds rows already"):
        gather(job.spec.out, bulk)


def test_an_import_that_failed_is_no_collection_and_the_same_one_ends_it(tmp_path):
    job = Job(spec(tmp_path, ["x"] * 4, 2))
    assert not here(job.spec, range(2), lambda report: None, lambda items: None)
    data = files_of(job.spec.out, 1)[0]
    kept = data.read_bytes()
    data.write_bytes(kept[:40] + bytes([kept[40] ^ 1]) + kept[41:])
    half, whole = store_at(tmp_path / "half", create=True), store_at(tmp_path / "whole", create=True)
    with pytest.raises(BadFile, match="its bytes have changed"):
        gather(job.spec.out, half)
    assert half.count() == 2
    with pytest.raises(BadFile, match=r"half: only a part of a collection, .* run the same sensorium collection import again"):
        Collection.open(tmp_path / "half")
    data.write_bytes(kept)
    assert gather(job.spec.out, half) == gather(job.spec.out, whole) == 4
    assert checksum(half) == checksum(whole) and len(Collection.open(tmp_path / "half")) == 4
    assert "filling" not in half.about


def test_what_is_changed_while_it_is_embedded_is_found_changed_by_the_next_index(tmp_path, monkeypatch):
    """The vectors are of the bytes that were there before, and so is the stamp."""
    job = Job(spec(tmp_path, ["x"] * 3, 1))
    picture, encode = tmp_path / "photos/images/01-x.png", job.model.encode

    def late(**raws):
        found = encode(**raws)
        picture.write_bytes((tmp_path / "photos/images/00-x.png").read_bytes())
        return found

    monkeypatch.setattr(job.model, "encode", late)
    run_shard(job.spec, 0, job)
    gather(job.spec.out, store_at("memory:late bytes", create=True))
    again = Collection.update(load("weak"), job.listed, "memory:late bytes", root=job.root)
    assert (again.changes.unchanged, again.changes.added, again.changes.changed) == (2, 0, 1)
