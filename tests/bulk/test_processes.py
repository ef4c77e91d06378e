"""Processes that die: of a signal by chance, of a record; and what is there afterwards."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bulk.stand_in import Weak, spec
from bulk.test_shard import made, rows
from search.fake import Tricolour
from training.tiny import DIALS, FIELDS

import sensorium
from sensorium.bulk import Report, run, status
from sensorium.bulk.processes import processes
from sensorium.bulk.run import here
from sensorium.bulk.spec import Spec
from sensorium.cli.main import main
from sensorium.core.errors import SensoriumError
from sensorium.recipes.towers import space
from sensorium.sensorium import Sensorium, load

NAMES = ["a", "once", "a", "a", "exits", "a"]


def test_killed_processes_are_replaced_and_the_record_that_kills_is_named(tmp_path, monkeypatch):
    """Three shards: the process of one is killed midway, one has a record at which every process ends."""
    job, found, steps = spec(tmp_path, NAMES, 3), list[Report](), list[int]()
    assert processes(job, range(3), found.append, steps.append, workers=2) == {}
    assert (tmp_path / "photos/images/01-once.seen").exists()  # it was killed, and its picture is there
    by_shard = {r.shard: r for r in found}
    assert [len(by_shard[i].quarantined) for i in range(3)] == [0, 0, 1]
    (bad,) = by_shard[2].quarantined
    assert bad.path == f"04-exits ({tmp_path}/photos/images/04-exits.png)" and "killed by it 2 times" in bad.cause
    assert status(job.out, bytes_too=True).missing == () and sum(steps) == 5
    monkeypatch.setattr(Weak, "_see", Tricolour._see)  # which looks at anything
    made(whole := spec(tmp_path, NAMES, 3, "whole"))
    assert rows(job.out) == [row for row in rows(whole.out) if row["item"] != "04-exits"]
    assert [by_shard[i].sha256 == status(whole.out).done[i].sha256 for i in range(3)] == [True, True, False]


def test_a_process_that_hangs_is_ended_and_the_record_named(tmp_path):
    job, found = replace(spec(tmp_path, ["a", "hangs", "a"], 1), patience=0.5), list[Report]()
    assert processes(job, range(1), found.append, lambda items: None, workers=1) == {}
    assert [one.path.partition(" ")[0] for one in found[0].quarantined] == ["01-hangs"]
    assert {row["item"] for row in rows(job.out)} == {"00-a", "02-a"}
    assert replace(job, patience=None).text != job.text and status(job.out).missing == ()  # and it is the same job
    made(replace(job, patience=None))
    with pytest.raises(SensoriumError, match="patience of 0 s: expected seconds above 0"):
        replace(job, patience=0)


def test_a_space_gives_the_same_bits_in_another_process(tmp_path, monkeypatch):
    card = space(FIELDS, 8, DIALS)
    Sensorium(card.build(0), FIELDS, card).save_pretrained(tmp_path / "model")
    monkeypatch.setattr(sensorium, "load", load)
    job = replace(spec(tmp_path, ["a"] * 5, 2), model=str(tmp_path / "model"), use=())
    reports = made(job)
    other, found = replace(job, out=str(tmp_path / "other")), list[Report]()
    assert processes(other, range(2), found.append, lambda items: None, workers=1) == {}
    assert [r.sha256 for r in found] == [reports[i].sha256 for i in range(2)] and reports[0].fields == {"image": 8, "text": 8}
    seen = [row["vector_image"] for row in rows(job.out) if row["vector_image"] is not None]  # not those of passages
    assert len(seen) == 5 and np.allclose(np.linalg.norm(seen, axis=1), 1)


def test_where_processes_die_at_no_record_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "IDLE", 1)
    broken = tmp_path / "broken.py"
    broken.write_text("import os\nos._exit(9)")
    job = Spec.of(spec(tmp_path, ["a"], 1).source, "weak", tmp_path / "out", 1, use=[broken])
    with pytest.raises(SensoriumError, match=r"1 processes died one after another \(exit code 9\) at no record of shard 0"):
        processes(job, range(1), lambda report: None, lambda items: None, workers=1)


@pytest.mark.parametrize("workers", [0, -1])
def test_without_a_process_nothing_is_made_and_it_is_told(tmp_path, capsys, workers):
    job = spec(tmp_path, ["a"], 1)
    with pytest.raises(SensoriumError, match=f"{workers} workers: expected at least 1"):
        processes(job, range(1), lambda report: None, lambda items: None, workers=workers)
    words = ["embed", job.source, "--model", "weak", "--out", job.out, "--workers", str(workers), "--engine"]
    for engine in ("processes", "slurm"):
        assert main([*words, engine]) == 2
        assert f"--workers {workers}: expected at least 1" in capsys.readouterr().err
    assert not Path(job.out).exists()


def test_two_runs_at_once_share_the_work(tmp_path):
    """Each shard is made by one of them, and both see all of them."""
    job = spec(tmp_path, ["slow"] * 12, 6)
    found: list[list[Report]] = [[], []]
    both = [threading.Thread(target=here, args=(job, range(6), one.append, lambda items: None)) for one in found]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [sorted(r.shard for r in one) for one in found] == [list(range(6))] * 2
    assert sorted(found[0], key=lambda r: r.shard) == sorted(found[1], key=lambda r: r.shard)  # seconds too: made once
    assert status(job.out, bytes_too=True).missing == () and len(rows(job.out)) == 12
