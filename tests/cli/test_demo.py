"""The demo, whole but tiny: as a process of its own, with six steps of training and forty scenes to search among."""

import json
import math
import subprocess
import sys
from itertools import permutations
from types import SimpleNamespace

import pytest
from show.page import Page

import sensorium
from sensorium.data import scan

SCENES, STEPS = 40, 6
SHORTER = f"""
import sys
from sensorium.cli import demo, main
demo.QUICK.update(steps={STEPS}, gallery={SCENES})
sys.argv[0] = "sensorium"
sys.exit(main.main())
"""
DIRECTIONS = [f"{a}->{b}" for a, b in permutations(("image", "text", "audio"), 2)]


@pytest.fixture(scope="module")
def demo(user_env, tmp_path_factory) -> SimpleNamespace:
    out = tmp_path_factory.mktemp("demo") / "out"
    line = [sys.executable, "-c", SHORTER, "demo", "--quick", "--out", str(out)]
    done = subprocess.run(line, env=user_env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(done=done, out=out, metrics=json.loads((out / "metrics.json").read_text()))


def test_metrics_have_every_number_that_is_promised(demo):
    for prefix in ("", "compositional/"):
        for name in DIRECTIONS:
            start = f"{prefix}{name}"
            assert demo.metrics[f"{start}/median_rank"] >= 1
            for k in (1, 5, 10):
                low, high = demo.metrics[f"{start}/recall@{k}/low"], demo.metrics[f"{start}/recall@{k}/high"]
                assert 0 <= low <= demo.metrics[f"{start}/recall@{k}"] <= high <= 1
    for name in ("image->audio", "audio->image"):
        assert demo.metrics[f"{name}/gallery"] == demo.metrics[f"{name}/queries"] == SCENES
        assert demo.metrics[f"{name}/recall@10/chance"] == pytest.approx(10 / SCENES)
    assert 0 <= demo.metrics["hard_negatives/accuracy"] <= 1 and 0 < demo.metrics["hard_negatives/pairs"] <= SCENES
    assert 0 < demo.metrics["seconds/train"] < demo.metrics["seconds/total"] and demo.metrics["peak_rss_mb"] > 100
    assert demo.metrics["command"] == f"sensorium demo --quick --out {demo.out}"
    assert demo.metrics["versions"]["sensorium"] == sensorium.__version__ and demo.metrics["versions"]["jax"]
    trained = json.loads((demo.out / "run" / "run.json").read_text())["arguments"]
    told = demo.metrics["arguments"]
    assert told.items() <= (trained | {"gallery": SCENES, "quick": True, "full": False}).items() and told["steps"] == STEPS


def test_metrics_are_flat_but_for_what_says_how_they_were_made(demo):
    others = {key for key, value in demo.metrics.items() if not (isinstance(value, float | int) and math.isfinite(value))}
    assert others == {"command", "versions", "arguments"}


@pytest.mark.parametrize("split", ["validation", "compositional"])
def test_the_world_is_written_as_ordinary_files_with_equal_stems(demo, split):
    world = demo.out / "world" / split
    stems = {file.stem for file in (world / "images").glob("*.png")}
    assert len(stems) == SCENES
    for pattern in ("captions/*.txt", "audio/*.wav"):
        assert {file.stem for file in world.glob(pattern)} == stems
    rows = [json.loads(line) for line in (world / "manifest.jsonl").read_text().splitlines()]
    said = [(row["id"], row["caption"]) for row in rows]
    assert said == [(stem, line) for stem in sorted(stems) for line in (world / f"captions/{stem}.txt").read_text().splitlines()]
    assert {row["image"] for row in rows} == {f"images/{stem}.png" for stem in stems}
    assert len(scan(world).items) == SCENES


def test_the_collection_and_the_run_can_be_used_afterwards(demo):
    hits = sensorium.search.Collection.open(demo.out / "world.collection")
    assert len(hits) == SCENES and set(hits.fields) == {"image", "text", "audio"}
    assert hits.model_path == str((demo.out / "run").resolve())
    assert sensorium.load(demo.out / "run").fingerprint == hits.fingerprint


def test_the_report_is_one_file_that_shows_what_was_measured(demo):
    page = Page(demo.out / "report.html")
    page.check_alone()
    assert len(page.all("audio")) >= 5 and len(page.all("img")) >= 15
    for key in ("hard_negatives/accuracy", "text->image/recall@1", "image->audio/recall@1", "compositional/text->image/recall@1"):
        assert f"{demo.metrics[key]:.1%}" in page.text, key
    assert demo.metrics["command"] in page.text


def test_a_person_is_told_the_numbers_and_what_to_type_next(demo):
    text = demo.done.stdout
    assert "chance 50 %" in text and "report.html" in text and "sensorium search" in text
    for name in DIRECTIONS:
        assert text.count(name.replace("->", " → ")) == 2  # scenes never seen, and combinations never seen
    assert "Traceback" not in demo.done.stderr and f"{STEPS}/{STEPS}" in demo.done.stderr
