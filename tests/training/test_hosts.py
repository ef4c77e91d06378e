"""Several processes as one run: how they are found, two real ones on the loopback, and eight devices in one."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from training.tiny import experiment

from sensorium.checkpoints.checkpoint import Checkpoints
from sensorium.cli.train import in_ray
from sensorium.core.errors import SensoriumError
from sensorium.run import train
from sensorium.training.hosts import BadHosts, found, joined, start
from sensorium.training.sharding import order

HERE = Path(__file__).parent
STEPS = 50
AT = "10.0.0.1:1234"


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, None),
        ({"SLURM_PROCID": "0"}, None),
        ({"JAX_COORDINATOR_ADDRESS": AT, "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}, (AT, 4, 3)),
        ({"JAX_COORDINATOR_ADDRESS": AT, "JAX_NUM_PROCESSES": "4", "JOB_COMPLETION_INDEX": "2"}, (AT, 4, 2)),
        ({"JAX_COORDINATOR_ADDRESS": AT, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, (AT, 2, 1)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "5"}, (None, 8, 5)),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "5"}, (None, 2, 1)),
    ],
    ids=["nothing", "half", "plain", "job-set", "mpi", "slurm", "plain-first"],
)
def test_variables_say_how_many_processes_there_are(environment, expected):
    assert found(environment) == expected


@pytest.mark.parametrize(
    "environment, said",
    [
        (
            {"JAX_COORDINATOR_ADDRESS": AT},
            "how many they are and which this one is. Set one of these pairs: JAX_NUM_PROCESSES with",
        ),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID=2: expected the number of processes, and which"),
        ({"PMI_SIZE": "two", "PMI_RANK": "0"}, "PMI_SIZE=two, PMI_RANK=0: expected"),
        (
            {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"},
            "started 2 processes, .* set JAX_COORDINATOR_ADDRESS=HOST:PORT",
        ),
    ],
    ids=["no-count", "beyond", "no-number", "no-coordinator"],
)
def test_half_of_an_environment_is_an_error_that_says_what_is_missing(environment, said):
    with pytest.raises(BadHosts, match=said):
        start(environment)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"},
        {"JAX_COORDINATOR_ADDRESS": AT, "JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
    ],
    ids=["nothing", "an-allocation-without-srun", "one", "a-pod"],
)
def test_a_process_that_is_alone_joins_nobody(environment):
    with joined(environment) as speaks:
        assert speaks
    assert not start(environment)


def test_rows_are_named_wherever_the_mesh_puts_their_devices():
    """Two devices each of two processes, which the mesh takes in turn: its second shard is the first of process 1."""
    np.testing.assert_array_equal(order(np.array([0, 1, 0, 1]), 8), [0, 1, 4, 5, 2, 3, 6, 7])
    np.testing.assert_array_equal(order(np.array([0, 0, 1, 1]), 8), np.arange(8))


def test_a_worker_of_ray_fails_where_its_command_does(capsys):
    with pytest.raises(SensoriumError, match="ended with exit code 2"):
        in_ray({"arguments": ["photos/", "--out", "runs/none", "--steps", "0"]})
    assert "--steps 0: at least 1 is needed" in capsys.readouterr().err


@pytest.fixture(scope="module")
def processes(user_env, programs_kept) -> Callable[..., list[subprocess.CompletedProcess[str]]]:
    """`processes(2, "pair.py", …)`: so many processes of a script, which find each other by plain variables."""
    quick = {"XLA_FLAGS": user_env["XLA_FLAGS"]} | programs_kept
    return partial(begun, os.environ | quick)


def begun(
    env: dict[str, str], count: int, script: str, *arguments: object, devices: int = 1
) -> list[subprocess.CompletedProcess[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"{env['XLA_FLAGS']} --xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
    plain = {key: value for key, value in env.items() if not key.lower().endswith("_proxy")}
    env = plain | {"XLA_FLAGS": flags, "PYTHONPATH": str(HERE.parent)}
    started = []
    for number in range(count):
        told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count), "JAX_PROCESS_ID": str(number)}
        line = [sys.executable, str(HERE / script), *map(str, arguments)]
        started.append(
            subprocess.Popen(line, env=env | told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        )
    done = []
    try:
        for process in started:
            out, err = process.communicate(timeout=240)
            done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    finally:
        for process in started:
            process.kill()
    return done


def losses(folder: Path) -> dict[int, float]:
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in log if "loss" in record}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[int, float]:
    """The losses of one process with one device."""
    out = tmp_path_factory.mktemp("alone")
    train(experiment(STEPS), out)
    assert len(losses(out)) == STEPS
    return losses(out)


def near(got: dict[int, float], expected: dict[int, float]) -> None:
    assert got.keys() == expected.keys()
    np.testing.assert_allclose(list(got.values()), [expected[step] for step in got], rtol=1e-5, atol=1e-6)


def test_two_processes_are_one_run_also_after_one_was_killed(alone, processes, tmp_path):
    """Process 0 is killed after step 25: the other says so and ends, and both go on from the checkpoint of step 20."""
    killed, left = processes(2, "pair.py", tmp_path, STEPS, "KILL=25", "who=0")
    assert killed.returncode == -9
    assert left.returncode == 1 and "error: another process of this run has ended" in left.stderr
    assert "the same command with --resume, in all processes" in left.stderr
    assert Checkpoints(tmp_path).steps()[-1] == 20
    assert not (tmp_path / "model.safetensors").exists()
    for number, done in enumerate(processes(2, "pair.py", tmp_path, STEPS, "resume")):
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout == ("done\n" if number == 0 else "")
    near(losses(tmp_path), alone)
    assert (tmp_path / "model.safetensors").is_file()


def test_what_two_processes_tell_each_other_and_that_one_is_missed(processes, tmp_path):
    zero, one = processes(2, "together.py", tmp_path)
    assert one.returncode == -9
    assert zero.returncode == 1 and zero.stderr.splitlines()[-1].startswith("error: another process of this run has ended")
    told = [json.loads((tmp_path / f"{number}.json").read_text()) for number in (0, 1)]
    assert told[0].pop("failed") == [False, "no room"]
    assert told[1].pop("failed") == [True, "process 0 of this run could not go on, and says why"]
    assert [each.pop("rows") for each in told] == [[[0], [0]], [[1], [1]]]
    assert told[0] == told[1]
    assert told[0] == {
        "any": [True, False],
        "agreed": {"a": 0.0, "b": 2.0},
        "made": "0",
        "lies": [2, 2048],
        "whole": [True, [0.0, 1.0, 2.0], True],
    }


def test_eight_devices_compute_what_one_does(alone, processes, tmp_path):
    (done,) = processes(1, "pair.py", tmp_path, STEPS, "mesh=fsdp=4,data=2", devices=8)
    assert done.returncode == 0, done.stderr[-2000:]
    near(losses(tmp_path), alone)
