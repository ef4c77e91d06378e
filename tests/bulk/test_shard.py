import os
from pathlib import Path

import numpy as np
import pytest
from bulk.stand_in import spec

from sensorium.bulk import Report, run_shard, shards, status
from sensorium.bulk.job import Job
from sensorium.bulk.read import about
from sensorium.bulk.run import here
from sensorium.bulk.shard import files_of
from sensorium.bulk.spec import Spec
from sensorium.bulk.trail import GivenUp
from sensorium.checkpoints.lock import InUse, RunLock
from sensorium.core.errors import BadFile
from sensorium.search.embed import embed
from sensorium.search.rows import row_of


def made(spec: Spec) -> dict[int, Report]:
    found: dict[int, Report] = {}
    assert not here(spec, range(spec.shards), lambda report: found.update({report.shard: report}), lambda items: None)
    return found


def rows(out: Path | str) -> list[dict]:
    return [row for batch in shards(out) for row in batch.to_pylist()]


def test_the_rows_are_what_the_model_says_of_each_item(tmp_path):
    job = Job(spec(tmp_path, ["x"] * 7, 3))
    reports = made(job.spec)
    entries = [entry for block in embed(job.model, job.listed, job.root) for entry in block]
    found = rows(job.spec.out)
    assert [row["item"] for row in found] == [entry.row.id for entry in entries] == [f"{i:02d}-x" for i in range(7)]
    for row, entry in zip(found, entries, strict=True):
        assert row_of(row["record"]) == entry.row and row["thumbnail"] == entry.thumbnail
        assert entry.row.paths == {"image": f"images/{row['item']}.png"}
        (piece,) = entry.pieces
        assert {name for name in ("image", "text") if row[f"vector_{name}"]} == set(piece.vectors)
        for name, vector in piece.vectors.items():
            assert np.array_equal(np.float32(row[f"vector_{name}"]), vector)
    assert [(r.items, r.rows, r.fields) for r in reports.values()] == [(n, n, {"image": 6, "text": 6}) for n in (2, 2, 3)]
    assert about(job.spec.out)["root"] == str(tmp_path / "photos") and about(job.spec.out)["kinds"]["audio"] == "audio"
    assert about(job.spec.out)["identity"]["model"] == "weak weak"


def test_shards_without_a_field_have_its_column_all_the_same(tmp_path):
    job = spec(tmp_path, ["a", "b"], 3)
    reports = made(job)
    assert [r.fields for r in reports.values()] == [{}, {"image": 6}, {"image": 6, "text": 6}]
    schemas = {str(batch.schema) for batch in shards(job.out)}
    assert len(schemas) == 1 and [row["vector_text"] is None for row in rows(job.out)] == [True, False]


def test_what_is_whole_is_not_touched_and_what_is_torn_is_made_again(tmp_path):
    job = spec(tmp_path, ["a"] * 5, 4)
    before = made(job)
    (data, report), (flipped, _), (_, lost) = (files_of(job.out, i) for i in range(3))
    kept = [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files_of(job.out, 3)]
    good = rows(job.out)
    os.truncate(data, data.stat().st_size // 2)
    assert 0 not in status(job.out).done and status(job.out).missing == (0,)
    with pytest.raises(BadFile, match="shards are missing, 1 of them"):
        next(shards(job.out))
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    lost.unlink()
    assert status(job.out, bytes_too=True).missing == (0, 1, 2)
    report.write_text(report.read_text()[:40])
    again = made(job)
    assert rows(job.out) == good and status(job.out, bytes_too=True).missing == ()
    assert [(r.shard, r.sha256) for r in again.values()] == [(r.shard, r.sha256) for r in before.values()]
    assert [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files_of(job.out, 3)] == kept


def test_bytes_that_have_changed_are_not_read(tmp_path):
    job = spec(tmp_path, ["a"] * 4, 2)
    made(job)
    data = files_of(job.out, 1)[0]
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    read, given = shards(job.out), []
    with pytest.raises(BadFile, match=r"shard-000001.parquet: its bytes have changed .* run sensorium embed again"):
        given += read
    assert all(row["item"] < "02-" for batch in given for row in batch.to_pylist())


def test_a_shard_that_another_makes_is_left_to_it(tmp_path):
    job = spec(tmp_path, ["a"] * 2, 1)
    with RunLock(Path(job.out) / "work" / "000000"), pytest.raises(InUse):
        run_shard(job, 0)
    assert run_shard(job, 0).rows == 2


def test_a_record_that_raises_is_put_aside_alone(tmp_path):
    job = spec(tmp_path, ["a", "a", "raises", "a", "a", "raises"], 1)
    report = made(job)[0]
    assert [one.cause for one in report.quarantined] == ["ValueError: no decoder survives this"] * 2
    assert [one.path for one in report.quarantined] == [
        f"{i:02d}-raises ({tmp_path}/photos/images/{i:02d}-raises.png)" for i in (2, 5)
    ]
    assert (report.items, report.rows) == (6, 4) and [row["item"][:2] for row in rows(job.out)] == ["00", "01", "03", "04"]


def test_a_broken_file_is_a_problem_and_its_item_goes_on_without(tmp_path):
    job = spec(tmp_path, ["a", "a", "a"], 1)
    (tmp_path / "photos/images/01-a.png").write_bytes(b"no picture")
    report = made(job)[0]
    assert [(one.kind, one.path[-8:]) for one in report.problems] == [("image", "01-a.png")] and not report.quarantined
    assert [row["vector_image"] is None for row in rows(job.out)] == [False, True, False]


def test_a_shard_of_nothing_but_failures_is_given_up_and_the_others_are_made(tmp_path):
    job = spec(tmp_path, ["raises"] * 18 + ["a"] * 18, 2)
    found: list[Report] = []
    failed = here(job, range(2), found.append, lambda items: None)
    assert [r.shard for r in found] == [1] and list(failed) == [0] and "17 of 18 records were put aside" in failed[0]
    with pytest.raises(GivenUp):
        run_shard(job, 0)
    assert status(job.out).missing == (0,)


def test_vectors_that_are_no_numbers_are_left_out_and_told(tmp_path, monkeypatch):
    job = Job(spec(tmp_path, ["a", "a"], 1))
    encode = job.model.encode

    def blind(**raws):
        found = encode(**raws)
        return {name: np.where(name == "image", np.nan, z).astype(np.float32) for name, z in found.items()}

    monkeypatch.setattr(job.model, "encode", blind)
    report = run_shard(job.spec, 0, job)
    assert [(one.path, one.kind) for one in report.problems] == [("00-a", "image"), ("01-a", "image")]
    assert report.fields == {"text": 6} and report.rows == 1, "of the one without a caption nothing is left"
