import json

import pytest
from data.trees import half, three_folders, write


@pytest.fixture
def root(tmp_path):
    root = three_folders(tmp_path / "photos", 3)
    half(root / "images" / "item1.png")
    return root


def test_the_report_names_what_is_broken_and_exits_with_0(root, command):
    done = command("data", "check", root)
    assert done.returncode == 0, done.stderr
    assert "item1.png" in done.stdout.replace("\n", "") and "1 left out" in done.stdout and "Traceback" not in done.stderr


def test_json_is_one_document(root, command):
    done = command("data", "check", root, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["items"] == 3 and report["counts"]["image"] == 2
    assert report["broken"][0]["path"] == str(root / "images" / "item1.png") and report["broken"][0]["cause"]


def test_nothing_that_can_be_used_is_an_error_with_exit_code_1(tmp_path, command):
    for place, cause in ((tmp_path / "absent", "no such file or folder"), (tmp_path, "the folder is empty")):
        done = command("data", "check", place)
        assert done.returncode == 1 and done.stdout == "" and cause in done.stderr and "Traceback" not in done.stderr
    write(tmp_path / "bad" / "x.png", "not a picture")
    done = command("data", "check", tmp_path / "bad")
    assert done.returncode == 1 and "none of the 1 items can be used" in done.stderr and "x.png: not a picture" in done.stderr


def test_help_has_an_example_and_wrong_words_are_wrong_usage(command):
    done = command("data", "--help")
    assert done.returncode == 0 and "sensorium data check photos/" in done.stdout
    assert command("data", "chek", "photos").returncode == 2


def test_remarks_say_what_is_no_error():
    from sensorium.cli.data import remarks

    result = {
        "captions": {"total": 5, "fewest": 1, "most": 2, "shared": 1, "items_with_shared": 2, "examples": ["a cat"]},
        "lengths": {"audio": {"window": 1.0, "median": 1.5, "longest": 3.0, "longer": 4, "shorter": 0}},
        "items_lost": 0,
        "duplicates": [["a.png", "b.png"]],
        "unused": [],
    }
    text = "\n".join(remarks(result))
    assert "5 captions, 1 to 2 an item" in text and "'a cat'" in text and "4 are longer and will be cut" in text
    assert "a.png, b.png" in text and "belong to no item" not in text
