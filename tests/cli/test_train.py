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
        (["--stepz", "3"], "--steps"),
    ],
)
def test_dials_that_make_no_sense_are_wrong_usage(words, text, capsys, tmp_path):
    assert main(["train", "anything", "--out", str(tmp_path / "out"), *words]) == 2
    assert text in capsys.readouterr().err and not (tmp_path / "out").exists()
