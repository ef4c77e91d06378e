"""What `sensorium train` refuses before any work is done. That it trains is in test_folder.py, where a user's road is walked."""

import pytest

from sensorium.cli.main import main


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
