"""Calls that cannot be meant say so by name, where no checker of types stands before them."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from multi_modal.wrong_calls import CASES

HERE = Path(__file__).parent


@cache
def told() -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("JAX_NUMPY_")} | {"PYTHONPATH": str(HERE.parent)}
    line = [sys.executable, str(HERE / "wrong_calls.py")]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_told_why(name):
    said = told()[name]
    assert said.startswith(("ValueError: ", "UnknownName: ")), said
    assert re.search(CASES[name][1], said), said


def test_a_number_may_be_an_array():
    assert told()["a temperature that is an array"] == "True"
