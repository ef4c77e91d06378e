"""Calls that cannot be meant say so by name, where no checker of types stands before them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from multi_modal.wrong_calls import CASES

HERE = Path(__file__).parent


def test_each_is_refused_and_told_why_and_a_number_may_be_an_array():
    """All in one process, as it has to build the models without the checker."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("JAX_NUMPY_")} | {"PYTHONPATH": str(HERE.parent)}
    line = [sys.executable, str(HERE / "wrong_calls.py")]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told.pop("a temperature that is an array") == "True"
    assert list(told) == list(CASES)
    fitting = {
        name: said.startswith(("ValueError: ", "UnknownName: ")) and re.search(CASES[name][1], said)
        for name, said in told.items()
    }
    assert not {name: (told[name], CASES[name][1]) for name, fits in fitting.items() if not fits}
