"""Shards as a collection: what `sensorium index` would have made, and what it goes on with."""

import pytest
from bulk.stand_in import load, spec

from sensorium.bulk.job import Job
from sensorium.bulk.read import gather
from sensorium.bulk.run import here
from sensorium.core.errors import SensoriumError
from sensorium.search import Collection
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
