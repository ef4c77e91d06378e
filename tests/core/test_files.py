"""Files are whole or absent, whatever happens while they are written."""

import hashlib
import os
import subprocess
import sys

import pytest

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json, replacing, sha256, write_json, write_text


def test_what_is_written_is_read_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b.json"
    value = {"α": [1, 2.5, None], "nested": {"x": "y"}}
    write_json(path, value)
    assert read_json(path) == value
    assert "α" in path.read_text(encoding="utf-8")
    assert os.listdir(path.parent) == ["b.json"]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_until_the_end_a_reader_sees_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with open(path) as reader:
        with replacing(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old" and temporary.suffix == ".txt" and temporary.parent == tmp_path
        assert path.read_text() == "new"
        assert reader.read() == "old"  # who had it open keeps the file that he opened: it was renamed over, not written into


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    code = (
        "import os, signal\nfrom sensorium.core.files import replacing\n"
        f"with replacing({str(path)!r}) as t:\n    t.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.read_text() == "old"


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_errors_name_the_file_and_the_place(tmp_path):
    with pytest.raises(BadFile, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(BadFile, match=r"bad\.json: not JSON: .*line 2 column 6"):
        read_json(tmp_path / "bad.json")
    (tmp_path / "latin.json").write_bytes('"é"'.encode("latin-1"))
    with pytest.raises(BadFile, match=r"latin\.json: not JSON"):
        read_json(tmp_path / "latin.json")


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
