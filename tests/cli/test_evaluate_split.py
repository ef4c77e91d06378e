"""Which items `sensorium evaluate` takes unless told: those kept apart where the model was trained on these very data."""

import json
from pathlib import Path

from sensorium.cli.evaluate import _split


def test_only_the_same_data_have_items_that_were_kept_apart(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("photos", "csvs"):
        (tmp_path / name).mkdir()
    for name in ("photos/manifest.csv", "csvs/train.csv", "csvs/test.csv"):
        (tmp_path / name).write_text("image,caption\n")

    def chosen(trained: str, asked: str) -> str:
        (tmp_path / "run" / "run.json").write_text(json.dumps({"arguments": {"path": str(tmp_path / trained)}}))
        return _split(tmp_path / "run", str(tmp_path / asked))

    assert chosen("photos", "photos") == chosen("photos", "photos/manifest.csv") == "validation"
    assert chosen("photos/manifest.csv", "photos") == "validation"
    assert chosen("csvs/train.csv", "csvs/train.csv") == "validation"
    assert chosen("csvs/train.csv", "csvs/test.csv") == chosen("photos", "csvs") == "all"
    (tmp_path / "run" / "run.json").unlink()
    assert _split(Path(tmp_path / "run"), str(tmp_path / "photos")) == "all"
