import json
from dataclasses import replace

import pytest
from bulk.stand_in import spec
from hypothesis import given
from hypothesis import strategies as some

from sensorium.bulk import Spec
from sensorium.bulk.job import Job
from sensorium.bulk.spec import OtherJob, read_told
from sensorium.core.errors import BadFile, SensoriumError


@given(some.integers(0, 500), some.integers(1, 60))
def test_items_are_dealt_once_each_in_their_order_and_evenly(items, shards):
    made = Spec("a", "b", "c", shards)
    parts = [made.items(i, items) for i in range(shards)]
    assert [k for part in parts for k in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_json_holds_a_spec(tmp_path):
    made = spec(tmp_path, ["a", "b"], 2)
    assert Spec(**json.loads(made.text) | {"use": tuple(json.loads(made.text)["use"])}) == made
    assert made.source == str(tmp_path / "photos") and made.out == str(tmp_path / "out")
    with pytest.raises(SensoriumError, match="0 shards"):
        replace(made, shards=0)
    with pytest.raises(SensoriumError, match="shard 2 of 2: expected a number from 0 to 1"):
        made.items(2, 10)


def test_the_number_of_shards_is_that_of_the_job_that_is_there(tmp_path):
    made = spec(tmp_path, ["a", "b", "c"], 3)
    assert Spec.of(made.source, made.model, tmp_path / "new").shards == 1
    Job(made)
    assert Spec.of(made.source, made.model, made.out).shards == 3


def test_a_folder_is_held_to_one_job_and_says_what_differs(tmp_path):
    made = spec(tmp_path, ["a", "b", "c"], 3)
    hash = Job(made).hash
    assert Job(made).hash == hash
    with pytest.raises(OtherJob, match="shards: 3 there, 2 now"):
        Job(replace(made, shards=2))
    with pytest.raises(OtherJob, match="model: 'weak weak' there, 'weak other' now"):
        Job(replace(made, model="other"))
    caption = tmp_path / "photos/captions/01-b.txt"
    caption.write_text("something else")
    with pytest.raises(OtherJob, match="listing: ") as told:
        Job(made)
    assert "model:" not in str(told.value) and "items:" not in str(told.value)
    caption.unlink()
    (tmp_path / "photos/images/02-c.png").unlink()
    with pytest.raises(OtherJob, match="items: 3 there, 2 now; listing"):
        Job(made)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    made = spec(tmp_path, ["a"], 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(SensoriumError, match=r"other files \(thesis.tex\)"):
        Job(made)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_job_that_says_not_all_of_itself_is_refused(tmp_path):
    made = spec(tmp_path, ["a"], 1)
    Job(made)
    told = json.loads((tmp_path / "out" / "spec.json").read_text())
    (tmp_path / "out" / "spec.json").write_text(json.dumps({key: value for key, value in told.items() if key != "hash"}))
    with pytest.raises(BadFile, match=r"spec.json: not of the format .*: give another folder, or remove it"):
        read_told(tmp_path / "out")
