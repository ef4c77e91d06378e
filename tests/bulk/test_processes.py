"""Processes that die: of a signal by chance, of a record; and what is there afterwards."""

import threading

import pytest
from bulk.stand_in import spec
from bulk.test_shard import made, rows

import sensorium
from sensorium.bulk import Report, status
from sensorium.bulk.processes import processes
from sensorium.bulk.run import IDLE, here
from sensorium.bulk.spec import Spec
from sensorium.core.errors import SensoriumError

NAMES = ["a", "once", "a", "a", "exits", "a", "segfaults"]


def survivors(job: Spec, dead: tuple[str, ...]) -> list[dict]:
    return [row for row in rows(job.out) if not row["id"].endswith(dead)]


def test_killed_processes_are_replaced_and_records_that_kill_are_named(tmp_path, monkeypatch):
    """Three shards: one whose process is killed midway, one with a record that exits, one with one that breaks memory."""
    job, found, steps = spec(tmp_path, NAMES, 3), list[Report](), list[int]()
    assert processes(job, range(3), found.append, steps.append, workers=2) == {}
    assert (tmp_path / "photos/images/01-once.seen").exists()  # it was killed, and it is there
    by_shard = {r.shard: r for r in found}
    dead = {i: [one.path.partition(" ")[0] for one in report.quarantined] for i, report in by_shard.items()}
    assert dead == {0: [], 1: [], 2: ["04-exits", "06-segfaults"]}
    assert all("killed by it 2 times, and it alone" in one.cause for one in by_shard[2].quarantined)
    assert by_shard[2].quarantined[0].path.endswith("images/04-exits.png)")
    assert status(job.out, bytes_too=True).missing == () and sum(steps) >= 5
    monkeypatch.setattr("bulk.stand_in.Weak._see", sensorium.load("").__class__.__base__._see)  # strong eyes
    made(whole := spec(tmp_path, NAMES, 3, "whole"))
    assert rows(job.out) == survivors(whole, ("exits", "segfaults"))
    done = {i: report.sha256 for i, report in status(whole.out).done.items()}
    assert [by_shard[i].sha256 == done[i] for i in range(3)] == [True, True, False]  # bit for bit


def test_what_is_no_fault_of_a_record_is_raised_and_no_process_stays(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import os\nos._exit(9)")
    job = Spec.of(spec(tmp_path, ["a"], 1).source, "weak", tmp_path / "out", 1, use=[broken])
    with pytest.raises(SensoriumError, match=f"{IDLE} processes died one after another \\(exit code 9\\) before they came to"):
        processes(job, range(1), lambda report: None, lambda items: None, workers=1)


def test_two_runs_at_once_share_the_work(tmp_path):
    """Each shard is made by one of them, and both see all of them."""
    job = spec(tmp_path, ["slow"] * 12, 6)
    found: list[list[Report]] = [[], []]
    runs = [threading.Thread(target=here, args=(job, range(6), one.append, lambda items: None)) for one in found]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [sorted(r.shard for r in one) for one in found] == [list(range(6))] * 2
    assert sorted(found[0], key=lambda r: r.shard) == sorted(found[1], key=lambda r: r.shard)  # seconds too: made once
    assert status(job.out, bytes_too=True).missing == () and len(rows(job.out)) == 12
