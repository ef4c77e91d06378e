import pytest
from data.trees import write

from sensorium.cli import place
from sensorium.core.errors import SensoriumError


def test_a_folder_that_is_there_or_can_be_made_is_fine_and_nothing_is_made(tmp_path):
    place.folder(tmp_path)
    place.folder(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_a_file_on_the_way_is_named(tmp_path):
    file = write(tmp_path / "file", "x")
    with pytest.raises(SensoriumError, match="file is a file: --out names a folder"):
        place.folder(file)
    with pytest.raises(SensoriumError, match=r"x/y cannot be made: .*file is a file"):
        place.folder(file / "x" / "y")


def test_no_permission_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)  # a test that runs as root may write anywhere
    with pytest.raises(SensoriumError, match=f"no permission to write in {tmp_path}"):
        place.folder(tmp_path / "runs" / "a")


def test_what_is_there_is_not_lost(tmp_path):
    place.unused(tmp_path / "new", "log.jsonl", overwrite=False)
    write(tmp_path / "cat.jpg", "x")
    for overwrite in (False, True):
        with pytest.raises(SensoriumError, match=r"holds other files \(no log.jsonl\): give another --out"):
            place.unused(tmp_path, "log.jsonl", overwrite)
    write(tmp_path / "log.jsonl", "{}")
    with pytest.raises(SensoriumError, match=r"holds an earlier run: .* --overwrite"):
        place.unused(tmp_path, "log.jsonl", overwrite=False)
    place.unused(tmp_path, "log.jsonl", overwrite=True)
