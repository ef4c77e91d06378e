"""What `sensorium train` refuses before any work is done. That it trains is in test_folder.py, where a user's road is walked."""

import json
import shlex
import signal
import sys

import pytest

from sensorium.cli.main import main
from sensorium.data.synthetic import write_world
from sensorium.training import loop
from sensorium.world import caption, scene


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--steps", "0"], "--steps 0: at least 1"),
        (["--batch", "1"], "--batch 1: at least 2"),
        (["--width", "0"], "--width 0: at least 1"),
        (["--lr", "-1"], "--lr -1.0: a positive number"),
        (["--lr", "nan"], "--lr nan: a positive number"),
        (["--workers", "-1"], "--workers -1: at least 0"),
        (["--max-bad", "1.5"], "--max-bad 1.5: a share such as 5%"),
        (["--max-bad", "120%"], "--max-bad 120%: a share such as 5%"),
        (["--max-bad", "few"], "--max-bad few: a share such as 5%"),
        (["--stepz", "3"], "--steps"),
    ],
)
def test_dials_that_make_no_sense_are_wrong_usage(words, text, capsys, tmp_path):
    assert main(["train", "anything", "--out", str(tmp_path / "out"), *words]) == 2
    assert text in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_earlier_run_is_kept_unless_it_is_to_be_replaced_and_can_be(capsys, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name in ("log.jsonl", "model.safetensors"):
        (out / name).write_text("earlier")
    assert main(["train", str(tmp_path / "typo"), "--out", str(out)]) == 1
    assert "holds an earlier run" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "typo"), "--out", str(out), "--overwrite"]) == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert (out / "model.safetensors").read_text() == "earlier"


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("0", 0), ("100%", 1)])
def test_a_share_is_written_in_either_way(text, share):
    from sensorium.cli.train import _share

    assert _share(text) == pytest.approx(share)


def test_a_run_is_stopped_and_gone_on_with_by_the_command_that_it_says(capsys, monkeypatch, tmp_path):
    """Ctrl-C in the second step; then the command that was said, then one that says something else."""
    scenes = scene.distinct("train", 12)
    write_world(tmp_path / "rooms", scenes, [caption.render(scenes, "list")], senses=("image", "text"))
    words = ["train", str(tmp_path / "rooms"), "--out", str(tmp_path / "run"), "--steps", "4", "--batch", "4", "--width", "8"]
    words += ["--freeze", "encoders.image.*", "--ema", "0.9"]
    plain = loop._Run.step

    def interrupted(run, request):
        if run.course.taken == 1:
            signal.raise_signal(signal.SIGINT)
        plain(run, request)

    monkeypatch.setattr(sys, "argv", ["sensorium", *words])
    monkeypatch.setattr(loop._Run, "step", interrupted)
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "stopped by SIGINT after step 2 of 4" in told and told.rstrip().endswith(shlex.join(["sensorium", *words, "--resume"]))
    assert "frozen" in told and "encoders.image" in told, "what trains is shown where not all of it does"
    monkeypatch.setattr(loop._Run, "step", plain)
    assert main([*words, "--lr", "1", "--resume"]) == 1
    assert "lr: 0.002, now 1.0" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [0, 1, 2, 2, 3, 4], "and the second 2 tells of the new start"
