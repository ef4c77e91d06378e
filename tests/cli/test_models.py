"""`sensorium models` and `sensorium convert`: what is known, what one is, and another layout for it."""

import json
from pathlib import Path

import pytest

import sensorium
from sensorium.cli.main import main
from sensorium.pretrained import FAMILIES

CLIP = Path(__file__).parents[1] / "pretrained" / "recorded" / "clip"


def answer(capsys, *arguments) -> tuple[int, dict]:
    code = main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_family_is_listed_with_examples_sizes_and_licences(capsys):
    code, said = answer(capsys, "models")
    rows = {row["family"]: row for row in said["families"]}
    assert code == 0 and rows.keys() == set(FAMILIES)
    assert rows["clip"]["examples"][0] == {
        **{"id": "openai/clip-vit-base-patch32", "millions": 151.3},
        **{"licence": "MIT", "commercial": True},
    }
    assert all(row["gives"] and row["library"] for row in rows.values())
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert any(line.split()[:4] == ["openai/clip-vit-base-patch32", "151.3", "million", "MIT"] for line in shown.splitlines())
    assert all(row["family"] in shown and row["gives"] in shown for row in rows.values())
    forbidden = [one["id"] for row in rows.values() for one in row["examples"] if not one["commercial"]]
    told = [line.split()[0] for line in shown.splitlines() if line.endswith("(not for commercial use)")]
    assert told == forbidden and "MCG-NJU/videomae-base" in forbidden


def test_a_model_is_told_by_its_folder(capsys):
    code, said = answer(capsys, "models", CLIP)
    model = sensorium.load(CLIP)
    assert code == 0 and said["fingerprint"] == model.fingerprint
    assert (said["family"], said["dtype"], said["width"], said["parameters"]) == ("clip", "float32", 14, 31217)
    assert [(field["name"], field["shape"]) for field in said["fields"]] == [("image", [30, 30, 3]), ("text", [13])]
    assert (said["licence"], said["commercial"]) == ("not stated", None)
    assert main(["models", str(CLIP)]) == 0 and model.fingerprint in capsys.readouterr().out


def test_a_model_is_converted_there_and_back(tmp_path, capsys):
    code, said = answer(capsys, "convert", CLIP, tmp_path / "ours", "--family", "sensorium", "--licence", "mit")
    assert code == 0 and said["family"] == "sensorium" and {"config.json", "model.safetensors", "README.md"} == set(said["files"])
    code, said = answer(capsys, "convert", tmp_path / "ours", tmp_path / "theirs", "--family", "clip", "--shard-size", "50kB")
    assert code == 0 and said["dtype"] == "float32" and "model.safetensors.index.json" in said["files"]
    assert sensorium.load(tmp_path / "theirs").fingerprint == sensorium.load(CLIP).fingerprint
    assert sensorium.load(tmp_path / "theirs").origin.licence.id == "mit", "the card goes with it"
    code, said = answer(capsys, "convert", tmp_path / "theirs", tmp_path / "half", "--dtype", "float16")
    assert code == 0 and (said["family"], said["dtype"]) == ("clip", "float16")
    code, said = answer(capsys, "convert", tmp_path / "half", tmp_path / "again")
    assert said["dtype"] == "float16", "numbers stay as they are, unless told"
    a, b = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("half", "again"))
    assert a == b


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["--family", "clp"], 1, "no family of checkpoints is called 'clp'. Did you mean 'clip'?"),
        (["--family", "siglip"], 1, "not of the form of the family 'siglip'"),
        (["--family", "sensorium", "--dtype", "bfloat16"], 2, "own layout is of float32"),
        (["--shard-size", "big"], 1, "a size of 'big'"),
    ],
)
def test_what_cannot_be_is_told(more, code, told, tmp_path, capsys):
    got, said = answer(capsys, "convert", CLIP, tmp_path / "out", *more)
    assert got == code and told in said["error"] and not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_kept(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    code, said = answer(capsys, "convert", CLIP, tmp_path)
    assert code == 1 and "--overwrite" in said["error"] and [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
