"""A cluster of Ray on this machine, in a process of its own: it takes seconds to start, and leaves threads behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bulk.stand_in import spec
from bulk.test_shard import made, rows

from sensorium.bulk import status

pytest.importorskip("ray")
NAMES = ["a", "once", "a", "segfaults", "a", "a"]
SCRIPT = """
import json, sys
from sensorium.bulk.cluster import ray
from sensorium.bulk.spec import Spec
text = json.loads(sys.argv[1])
found = []
failed = ray(Spec(**text | {"use": tuple(text["use"])}), range(text["shards"]), found.append, lambda items: None)
print(json.dumps([failed, sorted(r.shard for r in found)]))
"""


def test_tasks_of_ray_make_the_same_rows_whoever_is_killed(tmp_path):
    """A worker is killed midway, a record kills every worker; the rest is what this process makes of it, bit for bit."""
    job = spec(tmp_path, NAMES, 3)
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    slow = {"RAY_agent_register_timeout_ms": "120000", "RAY_worker_register_timeout_seconds": "120"}  # a busy machine
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""} | slow
    told = subprocess.run([sys.executable, "-c", SCRIPT, job.text], env=env, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout.splitlines()[-1]) == [{}, [0, 1, 2]]
    assert (tmp_path / "photos/images/01-once.seen").exists()
    done = status(job.out, bytes_too=True).done
    assert [one.path.partition(" ")[0] for report in done.values() for one in report.quarantined] == ["03-segfaults"]
    (tmp_path / "photos/images/03-segfaults.png").replace(tmp_path / "photos/images/03-strong.png")
    (tmp_path / "photos/captions/03-segfaults.txt").unlink()
    made(here := spec(tmp_path, NAMES, 3, "here"))
    assert [row for row in rows(here.out) if row["item"] != "03-strong"] == rows(job.out)
    assert [status(here.out).done[i].sha256 == done[i].sha256 for i in range(3)] == [True, False, True]
