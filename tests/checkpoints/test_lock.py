"""One trainer a directory: the system holds the lock, so that it outlives nobody."""

import subprocess
import sys

import pytest

from sensorium.checkpoints import lock
from sensorium.checkpoints.lock import InUse, RunLock

HOLD = """
import runpy, sys
RunLock = runpy.run_path(sys.argv[2])["RunLock"]  # the file alone: its room would load JAX
RunLock(sys.argv[1]).take()
print("held", flush=True)
sys.stdin.read()
"""


def hold(folder) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), lock.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_another_process_is_refused_and_told_who_holds_it_until_that_one_is_killed(tmp_path):
    run = tmp_path / "runs" / "a"
    process = hold(run)
    try:
        with pytest.raises(
            InUse, match=rf"runs/a: another process is training here: process {process.pid} on .*another directory"
        ):
            RunLock(run).take()
        with RunLock(tmp_path / "runs" / "b"):
            pass
    finally:
        process.kill()
        process.communicate()
    with RunLock(run):  # kill -9 left the file, and nobody who holds it
        pass


def test_a_lock_is_held_once_and_can_be_taken_again_when_it_is_free(tmp_path):
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    with first:
        for one in (first, second):
            with pytest.raises(InUse):
                one.take()
    with second:
        assert (tmp_path / "lock").is_file()
    second.free()  # free is free
    (tmp_path / "lock").write_bytes(b"\xff not what we write")
    with first, pytest.raises(InUse, match="process"):
        second.take()
