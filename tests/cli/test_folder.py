"""The whole road of a user's own folder, through real processes: check, train, index, search, evaluate; broken files in it.

Every process costs seconds, so the road is walked once, and the tests look at what it left behind.
"""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from data.trees import half, write
from safetensors.numpy import load_file, save_file

import sensorium
from sensorium.cli.main import main
from sensorium.data.synthetic import write_world
from sensorium.modalities import Text
from sensorium.world import caption, scene

ITEMS, STEPS = 48, 20
BROKEN = {  # what is wrong with which file, in words that a person can act on
    "images/00000.png": "truncated",
    "audio/00001.wav": "not a sound",
    "images/00002.jpg": "0 bytes",
    "captions/00003.txt": "not UTF-8",
}
DIRECTIONS = {f"{a}->{b}" for a in ("image", "text", "audio") for b in ("image", "text", "audio") if a != b}


@pytest.fixture(scope="module")
def road(tmp_path_factory, command) -> SimpleNamespace:
    """What each verb said (`.train`, `.index`, … as completed processes), and where things are."""
    home = tmp_path_factory.mktemp("a user's home")
    root, run, collection = home / "my phötos", home / "runs/phötos", home / "phötos.collection"
    drawn = scene.distinct("train", ITEMS)
    write_world(root, drawn, [caption.render(drawn, "list", variant) for variant in range(2)])
    spoil(root)
    other = home / "runs/other"
    walked = {
        "check": command("data", "check", root.name, "--json", cwd=home),
        "train": command("train", f"{root.name}/", "--out", run, "--steps", STEPS, "--json", cwd=home),
        "index": command("index", root, "--model", run, "--out", collection),
        "text": command("search", collection, "a red circle", "-k", 3, "--json"),
        "image": command("search", collection.name, "--image", root / "images/00005.png", "-k", "2", cwd=home),
        "audio": command("search", collection, "--audio", root / "audio/00004.wav", "-k", 500, "--within", "audio", "--json"),
        "evaluate": command("evaluate", run, root, "--json"),  # from another directory than it was trained in
    }
    shutil.copytree(run, other)
    rolled = {name: np.roll(value, 1) for name, value in load_file(run / "model.safetensors").items()}
    save_file(rolled, other / "model.safetensors")
    walked["refused"] = command("search", collection, "a red circle", "--model", other, "--json")
    return SimpleNamespace(home=home, root=root, run=run, collection=collection, **walked)


def spoil(root: Path) -> None:
    """Makes the folder one as people have them: without a manifest, with broken files, gaps, and odd names."""
    (root / "manifest.jsonl").unlink()
    half(root / "images/00000.png")
    write(root / "audio/00001.wav", "this was saved under a wrong name\n")
    (root / "images/00002.png").unlink()
    write(root / "images/00002.jpg", b"")
    write(root / "captions/00003.txt", "un café rouge\n".encode("latin-1"))
    for file in ("images/00004.png", "captions/00004.txt"):
        (root / file).unlink()  # a sound and nothing else
    for name in ("00005", "00006"):
        write(root / f"captions/{name}.txt", "the same words twice\n")
    for file in ("images/00007.png", "captions/00007.txt", "audio/00007.wav"):
        (root / file).rename((root / file).with_stem("schräg [7] & co"))


def document(done) -> dict:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # with --json, progress is quiet and no library chatters
    return json.loads(done.stdout)


def told(problems: list[dict], root: Path) -> dict[str, str]:
    """The causes by the path inside the folder; a file that is told twice fails here."""
    paths = [Path(p["path"]) for p in problems if p["kind"] != "item"]
    assert len(paths) == len(set(paths)), paths
    return {path.relative_to(root).as_posix(): p["cause"] for path, p in zip(paths, problems, strict=False)}


def check_causes(found: dict[str, str]) -> None:
    assert found.keys() == BROKEN.keys()
    for path, cause in BROKEN.items():
        assert cause in found[path], (path, found[path])


def test_data_check_counts_what_is_there_and_names_what_is_broken(road):
    report = document(road.check)
    assert report["items"] == ITEMS and report["items_lost"] == 0
    assert report["counts"] == {"image": ITEMS - 3, "text": ITEMS - 2, "audio": ITEMS - 1}
    assert report["captions"]["most"] == 2 and "the same words twice" in report["captions"]["examples"]
    check_causes({one["path"].removeprefix(f"{road.root.name}/"): one["cause"] for one in report["broken"]})


def test_train_writes_a_run_and_says_what_it_left_out(road):
    result = document(road.train)
    assert result["fields"] == ["image", "text", "audio"]
    items = result["items"]
    assert 0 < items["validation"] < 15 and items["train"] + items["validation"] <= ITEMS
    assert result["arguments"]["steps"] == STEPS and np.isfinite(result["loss"])
    check_causes({one["path"].removeprefix(f"{road.root.name}/"): one["cause"] for one in result["problems"]})
    assert len(result["problems"]) == len(BROKEN)
    about = json.loads((road.run / "run.json").read_text())
    assert about["recipe"] == "folder" and about["command"].startswith("sensorium train ") and about["versions"]["jax"]
    log = [json.loads(line) for line in (road.run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == list(range(STEPS + 1)) and log[-1]["loss"] < log[1]["loss"]
    assert json.loads((road.run / "metrics.json").read_text()) == result["metrics"]


def test_index_shows_what_it_made_and_the_next_command(road):
    assert road.index.returncode == 0, road.index.stderr
    text = road.index.stdout
    assert f"{ITEMS} items ({ITEMS - 3} image, {ITEMS - 2} text, {ITEMS - 1} audio)" in text
    for path, cause in BROKEN.items():
        assert re.search(rf"{re.escape(path)}: .*{re.escape(cause)}", text), (path, text)
    assert f"{len(BROKEN)} problems" in text and "Next: sensorium search" in text


def test_a_search_by_words_finds_what_the_vectors_say(road):
    """The answer of the processes equals that of the loaded model, item by item, without a collection."""
    model = sensorium.load(road.run)
    items = sensorium.data.check(road.root).good
    text = model.field("text")
    assert isinstance(text, Text) and text.unknown("A red bicycle in the red sea") == ["bicycle", "sea"]
    query = model.encode(text="a red circle")["text"]
    best: dict[str, float] = {}
    for kind in ("image", "audio"):
        having = [item for item in items if kind in item.raws]
        scores = model.similarity(query, model.encode(**{kind: [item.raws[kind][0] for item in having]})[kind])[0]
        for item, score in zip(having, scores.tolist(), strict=True):
            best[item.id] = max(best.get(item.id, -1.0), score)
    assert document(road.text)["unknown_words"] == []
    hits = document(road.text)["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(best.values(), reverse=True)[:3], abs=1e-5)
    assert [hit["score"] for hit in hits] == pytest.approx([best[hit["id"]] for hit in hits], abs=1e-5)


def test_a_search_by_picture_shows_a_table_of_other_senses(road):
    assert road.image.returncode == 0, road.image.stderr
    lines = [line for line in road.image.stdout.splitlines() if re.match(r"\s*[12]\s+-?[01]\.\d{3}", line)]
    assert len(lines) == 2 and all(re.search(r"\b(text|audio)\b", line) for line in lines)


def test_a_search_by_sound_finds_the_sound_itself_first(road):
    result = document(road.audio)
    assert result["hits"][0]["id"] == "00004" and result["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert len(result["hits"]) == ITEMS - 1  # asked for 500: all that have a sound that can be read
    assert result["hits"][0]["path"] == str(road.root / "audio/00004.wav") and result["hits"][0]["caption"] == ""
    assert "schräg [7] & co" in {hit["id"] for hit in result["hits"]}


def test_evaluate_measures_what_was_kept_apart_and_equals_what_training_said(road):
    result = document(road.evaluate)
    assert result["split"] == "validation" and result["items"] == document(road.train)["items"]["validation"]
    check_causes(told(result["problems"], road.root))
    metrics = result["metrics"]
    assert {key.split("/")[0] for key in metrics} == DIRECTIONS
    assert metrics == pytest.approx(document(road.train)["metrics"], abs=1e-6)
    for name in DIRECTIONS:
        assert 0 < metrics[f"{name}/recall@1/chance"] < 1
        assert metrics[f"{name}/recall@1/low"] <= metrics[f"{name}/recall@1"] <= metrics[f"{name}/recall@1/high"]


def test_a_collection_of_another_model_is_refused(road):
    assert road.refused.returncode == 1 and "Traceback" not in road.refused.stderr
    error = json.loads(road.refused.stdout)["error"]
    assert error in road.refused.stderr and "fingerprint" in error and "index anew" in error


def test_mistakes_are_one_line_with_exit_code_1(road, tmp_path, capsys):
    one = tmp_path / "one kind"
    shutil.copytree(road.root / "images", one / "images")
    out, occupied = tmp_path / "out", write(tmp_path / "file", "x")
    for line, text in (
        (["train", "nowhere", "--out", out], "nowhere: no such file or folder"),
        (["train", one, "--out", out], "with two modalities or more"),
        (["train", road.root, "--out", occupied], "is a file"),
        (["index", road.root, "--model", road.root, "--out", out], "no model here"),
        (["index", "nowhere", "--model", road.run, "--out", out], "nowhere: no such file or folder"),
        (["index", road.root, "--model", road.run, "--out", occupied], "is a file"),
        (["index", road.root, "--model", road.run, "--out", road.run], "is no collection"),
        (["evaluate", road.run, one], "nothing to measure"),
        (["evaluate", "nowhere", road.root], "no model here"),
        (["search", road.run, "red"], "no collection is here"),
        (["search", road.collection, "--image", "nowhere.png"], "nowhere.png"),
    ):
        assert main([str(word) for word in line]) == 1, line
        said = capsys.readouterr()
        last = said.err.splitlines()[-1]  # after what reading the files had to say
        assert last.startswith("error: ") and text in last and "Traceback" not in said.err, said.err
        assert said.out == "" and not out.exists()
