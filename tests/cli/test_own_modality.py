"""A modality of the user's own goes through every verb, by the file that examples/03_own_modality.py is."""

import ast
import json
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "03_own_modality.py"
USE = ("--use", EXAMPLE)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    import sys

    sys.path.insert(0, str(EXAMPLE.parent))
    try:
        module = __import__(EXAMPLE.stem)
    finally:
        sys.path.pop(0)
        from sensorium.modalities import MODALITIES

        MODALITIES.pop("depth", None)  # the processes below have to learn of it by --use
    root = tmp_path_factory.mktemp("own") / "rooms"
    module.rooms(root, 40)
    return root


def test_it_takes_twenty_lines():
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    (made,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()[made.decorator_list[0].lineno - 1 : made.end_lineno]
    assert made.name == "Depth" and len([line for line in lines if line.strip()]) <= 20
    (added,) = (node for node in tree.body if isinstance(node, ast.Assign))
    assert ast.unparse(added) == "MODALITIES['depth'] = Depth"


def test_every_verb_takes_it(rooms, command):
    home = rooms.parent

    def verb(*arguments: object) -> dict:
        done = command(*USE, *arguments, "--json", cwd=home, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    checked = verb("data", "check", "rooms")
    assert checked["counts"] == {"depth": 40, "text": 40} and not checked["broken"]
    trained = verb("train", "rooms", "--out", "run", "--steps", "3", "--batch", "8", "--workers", "1")
    assert sorted(trained["fields"]) == ["depth", "text"] and trained["rejected"] == 0
    assert verb("index", "rooms", "--model", "run", "--out", "c.collection")["items"] == 40
    found = verb("search", "c.collection", "--by", "depth=rooms/depth/room003.npy", "--within", "depth", "--page", "found.html")
    assert found["hits"][0]["id"] == "room003" and found["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert (home / "found.html").read_text().count("data:image/jpeg") + (home / "found.html").read_text().count(
        "data:image/png"
    ) > 5
    assert {key.split("/")[0] for key in verb("evaluate", "run", "rooms", "--split", "all")["metrics"]} == {
        "text->depth",
        "depth->text",
    }


def test_a_broken_thing_of_it_is_told_and_left_out(rooms, command):
    (rooms / "depth" / "room007.npy").write_bytes(b"\x93NUMPY no more")
    done = command(*USE, "data", "check", rooms, "--json")
    assert done.returncode == 0, done.stderr
    (broken,) = json.loads(done.stdout)["broken"]
    assert broken["path"].endswith("room007.npy") and broken["kind"] == "depth" and broken["cause"]


def test_without_its_file_it_is_said_what_to_do(rooms, command):
    done = command("search", rooms.parent / "c.collection", "a wall")
    assert done.returncode == 1 and "'depth' is not one of the house" in done.stderr and "--use FILE.py" in done.stderr
    for wrong in (["--use"], ["--use", "nowhere.py", "data"], ["--use", str(rooms), "data"]):
        done = command(*wrong)
        assert done.returncode == 2 and "give a Python file that is there" in done.stderr
