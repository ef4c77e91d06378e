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


def test_findings_are_told_with_what_to_do_and_odd_names_stay_on_their_line(root, command):
    with open(bytes(root) + b"/images/two\nlines\xff.png", "wb"):
        pass
    write(root / "captions" / "item2.txt", "IMG_1234.jpg")
    done = command("data", "check", root)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "1 × empty file: there is nothing in it. To do: fetch it again" in text
    assert "images/two\\nlines\\udcff.png: the file is empty" in text
    assert "1 × caption is a file name" in text and "captions/item2.txt: “IMG_1234.jpg”" in text
    told = json.loads(command("data", "check", root, "--json").stdout)["findings"]
    assert [one["kind"] for one in told] == ["empty file", "unreadable", "caption is a file name"]
    assert told[1]["paths"] == [str(root / "images" / "item1.png")] and told[1]["severity"] == "error" and told[1]["do"]


def test_a_plan_is_written_once_and_applied_to_a_new_folder(root, tmp_path, command):
    plan, page, clean = tmp_path / "plan.json", tmp_path / "report.html", tmp_path / "clean"
    done = command("data", "check", root, "--fix", plan, "--html", page)
    assert done.returncode == 0, done.stderr
    assert [a["action"] for a in json.loads(plan.read_text())["actions"]] == ["drop"] and "item1.png" in page.read_text()
    again = command("data", "check", root, "--fix", plan)
    assert again.returncode == 1 and "may have been edited" in again.stderr
    fixed = command("data", "fix", root, plan, "--out", clean, "--json")
    assert json.loads(fixed.stdout) | {"done": {"drop": 1}, "kept": 8} == json.loads(fixed.stdout)
    assert not (clean / "images" / "item1.png").exists() and (clean / "images" / "item2.png").is_file()
    other = command("data", "check", root, "--fix", plan, "--out", tmp_path / "other")
    assert other.returncode == 0 and "1 × drop; 8 files as they were" in " ".join(other.stdout.split())
    for wrong in (("fix", root), ("fix", root, plan), ("check", root, plan), ("check", root, "--out", clean)):
        assert command("data", *wrong).returncode == 2


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


def test_the_audit_of_pairs_sees_what_the_model_sees(tmp_path):
    from string import ascii_lowercase

    import numpy as np

    from sensorium import Sensorium
    from sensorium.cli.data import audit_of
    from sensorium.modalities import Image, Text
    from sensorium.recipes.towers import space

    fields = (Image(name="photo", size=8), Text(words=("red", "blue"), alphabet=ascii_lowercase, length=6))
    card = space(fields, 12, {"convnet": {"widths": [6, 8]}, "text_transformer": {"width": 8, "heads": 2, "window": 3}})
    model = Sensorium(card.build(0), fields, card)
    model.save_pretrained(tmp_path / "model")
    audit = audit_of(str(tmp_path / "model"))
    assert audit.kinds == ("image", "text")
    assert np.array_equal(audit.encode("text", ["red"]), model.encode(text="red")["text"])
    raw = np.zeros((8, 8, 3), np.uint8)
    assert np.array_equal(audit.encode("image", [raw]), model.encode(photo=[raw])["photo"])
