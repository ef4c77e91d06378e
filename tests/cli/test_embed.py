import json
import os
from pathlib import Path

import pytest
from bulk.stand_in import pictures
from bulk.test_shard import rows
from search.fake import Tricolour

import sensorium
from sensorium.cli.main import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    pictures(tmp_path / "photos", ["a"] * 5)
    (tmp_path / "photos/images/02-a.png").write_bytes(b"no picture")
    monkeypatch.setattr(sensorium, "load", lambda path: Tricolour(fingerprint=f"tricolour {path[-6:]}"), raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys, *arguments) -> dict:
    capsys.readouterr()
    code = main(["embed", "photos", "--model", "runs/a", "--out", "out", *arguments, "--json"])
    out = json.loads(capsys.readouterr().out)
    assert (code == 0) == ("error" not in out)
    return out


def test_shards_are_made_one_by_one_and_the_rest_on_the_next_call(place, capsys):
    told = answer(capsys, "--shards", "3", "--shard", "1")
    assert (told["done"], told["shards"], told["missing"], told["rows"]) == (1, 1, [], 1)
    told = answer(capsys, "--status")
    assert (told["done"], told["shards"], told["missing"], told["rows"]) == (1, 3, [0, 2], 1)
    kept = os.stat("out/shard-000001.parquet").st_mtime_ns
    told = answer(capsys)
    assert (told["done"], told["missing"], told["rows"], told["fields"]) == (3, [], 4, {"image": 6, "text": 6})
    assert [one["kind"] for one in told["problems"]] == ["image", "item"] and told["quarantined"] == []
    assert os.stat("out/shard-000001.parquet").st_mtime_ns == kept and len(rows("out")) == 4


def test_a_person_sees_what_is_missing_and_what_is_wrong(place, capsys):
    answer(capsys, "--shards", "4", "--shard", "0/2")
    main(["embed", "photos", "--model", "runs/a", "--out", "out", "--status"])
    seen = capsys.readouterr().out
    assert "2 of 4 shards are whole: 1 rows (6 numbers of image) in out" in seen and "2 are missing: 1, 3" in seen
    assert "2 problems" in seen and "02-a.png: not a picture" in seen


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--model", "runs/b"), "model: 'tricolour runs/a' there, 'tricolour runs/b' now"),
        (("--shards", "2"), "shards: 3 there, 2 now"),
        (("--shard", "3"), "the job has the shards 0 to 2"),
    ],
)
def test_another_job_is_refused_though_everything_is_there(place, capsys, arguments, said):
    answer(capsys, "--shards", "3")
    assert said in answer(capsys, *arguments)["error"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--out", "s3://bucket/x"), "shards go into a folder. Give one"),
        (("--devices", "0", "1"), "--devices with --engine here, which has no use for it"),
        (("--workers", "3"), "--workers with --engine here"),
        (("--gpus", "1", "--engine", "processes"), "--cpus and --gpus with --engine processes"),
        (("--address", "auto", "--engine", "slurm"), "--address with --engine slurm"),
    ],
)
def test_what_the_engine_would_not_look_at_is_refused(place, capsys, arguments, said):
    assert said in answer(capsys, *arguments)["error"] and not (place / "out").exists() and not (place / "s3:").exists()


def test_the_status_of_one_shard(place, capsys):
    answer(capsys, "--shards", "3", "--shard", "1")
    assert [answer(capsys, "--status", "--shard", i)["missing"] for i in ("1", "2")] == [[], [2]]


def test_status_of_nothing_says_how_to_begin(place, capsys):
    assert "no bulk job is here" in answer(capsys, "--status")["error"]


def test_who_would_end_his_own_process_is_told_so_and_a_job_of_slurm_has_its_patience(place, capsys):
    told = answer(capsys, "--patience", "5")
    assert "--patience 5 with --engine here: it would end this very process" in told["error"]
    assert not (place / "out").exists()
    script = Path(answer(capsys, "--patience", "5", "--engine", "slurm")["script"])
    assert "--patience 5 --shard" in script.read_text()
