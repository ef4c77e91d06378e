"""A cluster of Ray on this machine, in a process of its own: it takes seconds to start, and leaves threads behind."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from bulk.stand_in import spec
from bulk.test_shard import made, rows

from sensorium.bulk import cluster, status
from sensorium.core.errors import SensoriumError

api = pytest.importorskip("ray")
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


HEAD = """
import ray, sys
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
print(len(ray._private.state.jobs()), flush=True)
"""


@pytest.fixture
def env():
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    slow = {"RAY_agent_register_timeout_ms": "120000", "RAY_worker_register_timeout_seconds": "120"}  # a busy machine
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # or Ray writes one into the home folder
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""} | slow | token


def test_tasks_of_ray_make_the_same_rows_whoever_is_killed(tmp_path, env):
    """A worker is killed midway, a record kills every worker; the rest is what this process makes of it, bit for bit."""
    job = spec(tmp_path, NAMES, 3)
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


def test_a_cluster_that_is_there_already_is_joined_by_its_address(tmp_path, env):
    """It has seen two jobs then: that of the process which started it, and ours."""
    job, pipes = spec(tmp_path, ["a"] * 4, 2), {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HEAD], env=env, **pipes) as head:
        assert head.stdout is not None
        address = head.stdout.readline().strip()
        words = ["--use", job.use[0], "embed", job.source, "--model", "weak", "--out", job.out, "--shards", "2"]
        line = [sys.executable, "-m", "sensorium", *words, "--engine", "ray", "--address", address]
        told = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300)
        jobs = head.communicate(timeout=60)[0]
    assert told.returncode == 0 and "2 of 2 shards are whole: 4 rows" in told.stdout, told.stderr
    assert int(jobs) == 2
    made(here := spec(tmp_path, ["a"] * 4, 2, "here"))
    assert rows(here.out) == rows(job.out)


def test_an_address_at_which_no_cluster_answers_is_told(tmp_path, monkeypatch):
    def away(address, log_to_driver):
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(api, "init", away)
    with pytest.raises(
        SensoriumError, match=r"no Ray cluster lets us in at 10\.9\.9\.9:1 \(Failed to connect\): expected .*RAY_AUTH"
    ):
        cluster.ray(spec(tmp_path, ["a"], 1), range(1), lambda report: None, lambda items: None, address="10.9.9.9:1")
