"""Every example runs to its end, on less than it uses by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_is_short(path, tmp_path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    env = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_NUMPY_", "XLA_FLAGS"))}
    env |= {"STEPS": "4", "SCENES": "48", "TMPDIR": str(tmp_path)}
    line = [sys.executable, str(path)]
    done = subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "48 items, 0 broken files" in done.stdout and "chance" in done.stdout
    for query in ("{'text': ", "{'image': ", "{'audio': "):
        assert query in done.stdout
