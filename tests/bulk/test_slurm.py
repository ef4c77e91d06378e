import os
import subprocess
from pathlib import Path

import pytest
from bulk.stand_in import spec
from bulk.test_shard import made, rows
from hypothesis import given
from hypothesis import strategies as some

from sensorium.bulk import slurm, status
from sensorium.cli import main
from sensorium.core.errors import SensoriumError


@pytest.mark.parametrize(
    "missing, shards, at_once, array, number",
    [
        ([0, 1, 2, 5, 7, 8], 9, 0, "0-2,5,7-8", '"$SLURM_ARRAY_TASK_ID"'),
        ([3], 1000, 4, "3%4", '"$SLURM_ARRAY_TASK_ID"'),
        ([3, 999, 2003, 1000], 5000, 0, "0,3,999", '"$SLURM_ARRAY_TASK_ID/1000"'),
    ],
)
def test_the_script_asks_for_what_is_missing(missing, shards, at_once, array, number):
    text = slurm.script(["sensorium", "embed", "my photos", "--model", "m"], missing, shards, at_once)
    assert f"#SBATCH --array={array}\n" in text
    assert text.endswith(f"\nsensorium embed 'my photos' --model m --shard {number}\n") and text.startswith("#!/bin/bash\n")


@given(some.integers(1, 3000))
def test_the_jobs_of_an_array_make_every_shard_once(shards):
    jobs = min(shards, slurm.JOBS)
    made = [i for job in range(jobs) for i in slurm.share(f"{job}/{slurm.JOBS}" if shards > slurm.JOBS else str(job), shards)]
    assert sorted(made) == list(range(shards))


@pytest.mark.parametrize("text", ["", "a", "-1", "3/0", "7", "5/5", "9/9"])
def test_wrong_numbers_are_refused(text):
    with pytest.raises(SensoriumError, match="--shard"):
        slurm.share(text, 7 if text != "5/5" else 9)


def test_a_job_of_the_array_makes_its_shard(tmp_path, monkeypatch, capsys):
    """The script itself, run as SLURM runs it: by a shell, with the number in a variable."""
    job = spec(tmp_path, ["a"] * 6, 3)
    monkeypatch.setattr(main, "USED", [Path(file) for file in job.use])
    words = ["embed", job.source, "--model", "weak", "--out", job.out, "--shards", "3", "--engine", "slurm"]
    assert main.main(words) == 0
    assert f"Next: sbatch {job.out}/embed.sbatch" in capsys.readouterr().out
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    script, variables = f"{job.out}/embed.sbatch", {"PYTHONPATH": paths, "SLURM_ARRAY_TASK_ID": "1"}
    told = subprocess.run(["bash", script], env=os.environ | variables, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "1 of 1 shards are whole: 2 rows" in told.stdout, told.stderr
    assert status(job.out).missing == (0, 2)
    made(job)
    assert len(rows(job.out)) == 6
