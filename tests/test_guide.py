"""Every block of the guide runs, and prints what the page says; every name on the page of practices is there."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import alike, blocks, promised
from pretrained import parity
from pretrained.parity import DELIMITED

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
PAGES = [page for page in sorted(GUIDE.glob("*.md")) if blocks(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_and_print_what_it_says(page, user_env, tmp_path):
    line = [sys.executable, str(ROOT / "tests" / "blocks.py"), str(page)]
    done = subprocess.run(line, env=user_env, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    prints = len(re.findall(r"^\s*print\(", "".join(code for _, code in blocks(page.read_text(encoding="utf-8"))), re.M))
    assert int(done.stdout.rsplit("held:", 1)[1]) > prints / 2, "most prints are held to a comment"


def test_the_table_of_parity_is_the_measured_one_and_has_every_recorded_checkpoint():
    found = DELIMITED.search(parity.PAGE.read_text(encoding="utf-8"))
    assert found is not None and found.group() == parity.markdown(), "python tests/pretrained/parity.py --document"
    for folder in (ROOT / "tests" / "pretrained" / "recorded").glob("*/reference.npz"):
        assert f"| {folder.parent.name} |" in found.group()


def test_a_print_is_held_to_its_comment():
    code = "print(1)  # 1\nprint(\n    2)\nprint(3)\n# 3\n# 4\nprint(5)"
    assert [promised(code, line) for line in (1, 4, 7)] == ["1", "3\n4", None]
    assert alike("(3, 4) 0.5012", "(3,4) 0.5") and not alike("(3, 5)", "(3, 4)") and not alike("0.6", "0.5")


def test_every_module_and_link_on_the_page_of_practices_is_there():
    page = (GUIDE / "practices.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (GUIDE / link).exists(), link
    public = ["datasets", "fusion", "encoders", "generators", "losses", "retrieval", "augment"]
    modules = [importlib.import_module(f"sensorium.multi_modal.{name}") for name in public]
    modules += [
        importlib.import_module(f"sensorium.{name}")
        for name in ("decoders", "training", "nn.frames", "metrics.collapse", "losses.balance")
    ]
    words = set(re.findall(r"`(?:[a-z_]+\.)*([A-Z][A-Za-z]+[a-z]|[a-z]+_[a-z_]+)\b(?!=)", page)) - {"None", "multi_modal"}
    known = {name for module in modules for name in vars(module)}
    known |= {name for module in modules for thing in vars(module).values() if isinstance(thing, type) for name in dir(thing)}
    missing = sorted(words - known)
    assert not missing, missing
