"""Every example runs to its end, on less than it uses by itself, and its notebook is the same."""

import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
LESS = {"STEPS": "4", "SCENES": "48", "SAMPLES": "96", "HELD_OUT": "100", "EPOCHS": "2"}
TOLD = {
    "01_search_a_folder": ("48 items, 0 broken files", "chance", "{'text': ", "{'image': ", "{'audio': "),
    "03_own_modality": ("48 items, 0 broken files, fields: ['text', 'depth']", "{'text': ", "{'depth': ", "depth room"),
    "04_joint_spaces": ("a small bert", "learned projections: for ", "CLIP: for ", "colours, without training", "why: "),
    "02_guide_training": ("96 to train on, 100 held out", "epoch 2/2", "best possible 0.9", "audio->text"),
}
every = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@every
def test_an_example_runs_and_is_short(path, user_env, tmp_path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 150
    env = user_env | LESS | {"TMPDIR": str(tmp_path), "OUT": str(tmp_path / "run")}
    line = [sys.executable, str(path)]
    done = subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for told in TOLD[path.stem]:
        assert told in done.stdout, told


@every
def test_a_notebook_is_its_script(path):
    """`make notebooks` makes it again."""
    script, notebook = jupytext.read(path), jupytext.read(path.with_suffix(".ipynb"))
    cells = [[(cell.cell_type, cell.source) for cell in pages.cells] for pages in (script, notebook)]
    assert cells[0] == cells[1]
