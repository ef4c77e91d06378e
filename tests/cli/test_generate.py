"""`sensorium generate`: files that are there and say how they were made, the same ones for the same seed, and wrong usage."""

import json

import numpy as np
import pytest
from models.makers import any_planning, any_to_any, maker, planning
from PIL import Image as Pillow

import sensorium
from sensorium.cli import device
from sensorium.cli.generate import _how, _write_sheet
from sensorium.cli.main import WrongUsage, main
from sensorium.decoders import Drawing, Sampling
from sensorium.modalities import Video


def opened(path):
    """A picture that is read whole, its file closed."""
    with Pillow.open(path) as picture:
        picture.load()
        return picture


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Where a maker and an any-to-any are."""
    folder = tmp_path_factory.mktemp("models")
    maker().save_pretrained(folder / "painter")
    any_to_any().save_pretrained(folder / "anything")
    any_planning().save_pretrained(folder / "plans-anything")
    planning().save_pretrained(folder / "planner")
    return folder


@pytest.fixture(autouse=True)
def loaded(monkeypatch, models):
    """Each model is read, and compiled, once; no cache of programs is written."""
    known = {"painter": maker(), "anything": any_to_any(), "planner": planning(), "plans-anything": any_planning()}
    known = {str(models / name): model for name, model in known.items()}
    monkeypatch.setattr(sensorium, "load", lambda name: known[str(name)])
    monkeypatch.setattr(device, "prepare", lambda: None)


def run(capsys, *arguments) -> tuple[int, dict]:
    code = main(["generate", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


FEW = ("--steps", 2, "--guidance", 2)


def test_pictures_are_written_and_say_how_and_the_same_seed_gives_the_same_bytes(models, tmp_path, capsys):
    asked = ("red circle", "--model", models / "painter", "-n", 3, *FEW, "--seed", 1)
    code, said = run(capsys, *asked, "--to", "image", "--out", tmp_path / "a" / "out.png", "--sheet", tmp_path / "sheet.png")
    files = sorted((tmp_path / "a").iterdir())
    assert code == 0 and [path.name for path in files] == ["out-1.png", "out-2.png", "out-3.png"]
    assert said["files"] == [str(path) for path in files] and said["target"] == "image"
    made = maker().generate("image", text="red circle", n=3, how=Drawing(2, 2.0), seed=1)
    for path, picture in zip(files, made, strict=True):
        assert (np.asarray(opened(path)) == np.asarray(picture)).all()
    note = sensorium.provenance(files[1])
    assert note["prompt"] == "red circle" and (note["seed"], note["number"], note["steps"], note["guidance"]) == (1, 2, 2, 2.0)
    assert (note["sampler"], note["to"], note["model"], note["fingerprint"]) == ("euler", "image", "painter", maker().fingerprint)
    assert note["software"] == f"Sensorium {sensorium.__version__}" and opened(tmp_path / "sheet.png").size == (280, 280)
    assert run(capsys, *asked, "--out", tmp_path / "b" / "out.png")[0] == 0
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in sorted((tmp_path / "b").iterdir())]
    code, said = run(capsys, *asked, "--sheet", tmp_path / "alone.png")
    assert code == 0 and said["files"] == []
    assert opened(tmp_path / "alone.png").tobytes() == opened(tmp_path / "sheet.png").tobytes()
    assert main(["generate", "red circle", "--model", str(models / "planner"), "--sheet", str(tmp_path / "plans.png")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "plans.png")
    assert main(["generate", "--read", str(files[1])]) == 0
    assert "prompt: red circle\n" in capsys.readouterr().out


def test_a_plan_is_told_and_stands_in_the_file_and_can_be_left_out(models, tmp_path, capsys):
    asked = ("red circle", "--model", models / "planner", *FEW, "--seed", 1, "-n", 2)
    code, said = run(capsys, *asked, "--out", tmp_path / "out.png")
    plans = planning().generate("plan", text="red circle", n=2, seed=1)
    notes = [sensorium.provenance(tmp_path / f"out-{i}.png") for i in (1, 2)]
    assert code == 0 and said["plans"] == plans == [note["plan"] for note in notes]
    assert [note["prompt"] for note in notes] == ["red circle"] * 2
    for i, picture in enumerate(planning().generate(text="red circle", n=2, how=Drawing(2, 2.0), seed=1), 1):
        assert np.abs(np.asarray(opened(tmp_path / f"out-{i}.png")).astype(int) - np.asarray(picture)).max() <= 1
    assert main(["generate", *map(str, asked), "--out", str(tmp_path / "more.png")]) == 0
    lines = [x for i, plan in enumerate(plans, 1) for x in (str(tmp_path / f"more-{i}.png"), f"  {plan}")]
    assert capsys.readouterr().out.splitlines() == lines
    code, said = run(capsys, *asked, "--as-told", "--out", tmp_path / "told.png")
    assert code == 0 and said["plans"] == ["red circle"] * 2
    long = " ".join(["red circle"] * 9)  # more than a prompt may be, and no more than a plan
    assert run(capsys, long, *asked[1:], "--as-told", "--out", tmp_path / "long.png")[1]["plans"] == [long] * 2
    made = planning().generate(plan=["red circle"] * 2, how=Drawing(2, 2.0), seed=1)
    assert (np.asarray(opened(tmp_path / "told-2.png")) == np.asarray(made[1])).all()
    assert run(capsys, *asked[:3], "--to", "plan", "--seed", 1, "-n", 2)[1]["texts"] == plans
    out = ("--out", tmp_path / "w.png")
    for wrong, told in (
        (("red", "--to", "plan"), "nothing is planned"),
        (("red", "--without", "blue", *out), "this model reads word by word"),
        (("", *out), "an empty plan"),
        (("red " * 41, *out), "where at most 40 are read"),
    ):
        code, found = run(capsys, *wrong, "--model", models / "planner", "--as-told")
        assert code > 0 and told in found["error"]


def test_words_that_the_model_never_learned_are_told_and_it_makes_something_anyway(models, tmp_path, capsys):
    asked = ("a red dog", "--model", models / "anything", "--to", "image", *FEW, "--without", "snow", "red")
    code, said = run(capsys, *asked, "--out", tmp_path / "out.png")
    assert code == 0 and said["unknown_words"] == ["dog", "snow"] and (tmp_path / "out.png").exists()
    assert main(["generate", *map(str, asked), "--out", str(tmp_path / "more.png")]) == 0
    assert capsys.readouterr().out.endswith("it only guesses: dog, snow\n")
    told = ("red dog at 12", "--model", models / "planner", *FEW, "--as-told", "--out", tmp_path / "plan.png")
    assert run(capsys, *told)[1]["unknown_words"] == ["dog", "at"]
    assert run(capsys, "red circle", *told[1:3], *FEW, "--out", tmp_path / "known.png")[1]["unknown_words"] == []


def test_a_seed_that_is_none_is_told_of_plans_too(models, tmp_path, capsys):
    code, found = run(capsys, "red circle", "--model", models / "planner", "--out", tmp_path / "a.png", "--seed", -1)
    assert code == 1 and "seed=-1" in found["error"] and not (tmp_path / "a.png").exists()


def test_what_a_photograph_is_planned_as_stands_in_the_file_and_a_plan_is_said_in_words(models, tmp_path, capsys):
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(photo)
    asked = ("--model", models / "plans-anything", "--to", "image", *FEW, "--out", out)
    code, said = run(capsys, "--from-image", photo, *asked)
    assert code == 0 and said["plans"] == any_planning().generate("plan", image=photo) == [sensorium.provenance(out)["plan"]]
    told = ("red circle", *asked, "--overwrite", "--as-told")
    assert run(capsys, *told)[1]["plans"] == ["red circle"]
    for more in (("--from-image", photo), ("--without", "blue")):
        code, found = run(capsys, *told, *more)
        assert code == 2 and "a plan is said in words alone" in found["error"]


def test_what_is_there_is_replaced_only_where_that_is_said(models, tmp_path, capsys):
    out = tmp_path / "out.png"
    out.write_bytes(b"mine")
    asked = ("red", "--model", models / "painter", *FEW, "--out", out)
    code, said = run(capsys, *asked)
    assert code == 1 and "--overwrite to replace it" in said["error"] and out.read_bytes() == b"mine"
    assert run(capsys, *asked, "--overwrite")[0] == 0 and opened(out).size == (8, 8)


def test_a_picture_becomes_words_and_a_text_file_has_its_note_beside(models, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(photo)
    asked = ("--from-image", photo, "--to", "text", "--model", models / "anything")
    (expected,) = any_to_any().generate("text", image=photo)
    code, said = run(capsys, *asked)
    assert code == 0 and said["texts"] == [expected] and said["files"] == []
    assert main(["generate", *map(str, asked)]) == 0 and capsys.readouterr().out == f"{expected}\n"
    code, said = run(capsys, *asked[:2], "--to", "image", "--model", models / "anything", "--out", photo, "--overwrite")
    assert code == 2 and "would replace what it is made from" in said["error"] and opened(photo).size == (16, 16)
    capital = tmp_path / "OUT.PNG"
    assert run(capsys, "red", "--to", "image", "--model", models / "anything", *FEW, "--out", capital)[0] == 0
    assert sensorium.provenance(capital)["prompt"] == "red"
    out = tmp_path / "said.txt"
    assert run(capsys, *asked, "--out", out)[0] == 0 and out.read_text() == f"{expected}\n"
    note = sensorium.provenance(out)
    assert note["from"]["image"]["file"] == "photo.png" and len(note["from"]["image"]["sha256"]) == 64 and "prompt" not in note
    assert main(["generate", "--read", str(out)]) == 0
    assert f"from: {json.dumps(note['from'])}\n" in capsys.readouterr().out
    code, said = run(capsys, *asked, "-n", 3)
    assert code == 2 and "-n 3: one text is the likeliest. Give --temperature 1" in said["error"]
    drawn = run(capsys, *asked, "--temperature", 2, "-n", 3)[1]["texts"]
    assert len(drawn) == 3 and len(set(drawn)) > 1


def test_a_sheet_of_clips_has_one_in_a_row_and_its_frames_apart(tmp_path):
    clips = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.full((2, 3, 4, 4, 3), 40, np.uint8)
    out, note = tmp_path / "sheet.png", {"software": "Sensorium 1"}
    _write_sheet([(clip, 3.0) for clip in clips], Video(size=4, frames=3, seconds=1.0), out, note)
    sheet = np.asarray(opened(out))
    assert sheet.shape == (2 * 136 + 8, 3 * 136 + 8, 3) and sensorium.provenance(out) == note
    cells = sheet[8:].reshape(2, 136, 3 * 136 + 8, 3)[:, :, 8:].reshape(2, 136, 3, 136, 3)
    assert (cells[:, :128, :, :128] == clips[:, :, 0, 0].reshape(2, 1, 3, 1, 3)).all()
    assert (cells[:, 128:] == 255).all() and (cells[:, :, :, 128:] == 255).all()


def test_weights_and_what_is_taken_away_are_mixed_in(models, tmp_path, capsys):
    out = tmp_path / "out.png"
    mixed = ("red", "--without", "blue", "--weights", "text=2")
    assert run(capsys, *mixed, "--model", models / "anything", "--to", "image", "--out", out, *FEW)[0] == 0
    (expected,) = any_to_any().generate("image", text=sensorium.Mix(("red", 2.0), ("blue", -1.0)), how=Drawing(2, 2.0))
    assert (np.asarray(opened(out)) == np.asarray(expected)).all()
    assert sensorium.provenance(out)["weights"] == ["text=2"] and sensorium.provenance(out)["without"] == ["blue"]


WRONG = [
    (("red",), 2, "give --out"),
    (("red", "--out", "a.jpg"), 2, "--out a.jpg: image is kept in .png"),
    (("--out", "a.png"), 2, "from what?"),
    (("", "--out", "a.png"), 1, "an empty text"),
    (("red", "--out", ".", "--to", "image"), 2, "--out .: this is a folder: name a file in it, such as out.png"),
    (("red", "--out", "a.png", "--sheet", ".."), 2, "such as ../out.png"),
    (("red", "--out", "a.png", "--without", "blue"), 2, "--without: this model reads word by word"),
    (("red", "--out", "a.png", "--weights", "text=2"), 2, "--weights: this model reads word by word"),
    (("red", "--out", "a.png", "--to", "vidoe"), 1, "no decoder for 'vidoe'"),
    (("red", "--out", "a.png", "-n", "0"), 2, "-n 0"),
    (("red", "--out", "a.png", "--as-told"), 2, "nothing is planned before this is made"),
    (("red", "--out", "a.png", "--steps", "0"), 2, "steps=0"),
    (("red", "--out", "a.png", "--guidance", "-1"), 2, "guidance=-1"),
    (("red", "--out", "a.png", "--sampler", "oiler"), 1, "Did you mean 'euler'"),
    (("red", "--out", "a.png", "--temperature", "2"), 2, "temperature=2.0"),
    (("red", "--out", "a.png", "--seed", "-1"), 1, "seed=-1"),
    (("red", "--out", "a.png", "--weights", "audio=1"), 2, "there is no such source"),
    (("red", "--out", "a.png", "--weights", "text=much"), 2, "expected a source and a number"),
    (("red", "--out", "a.png", "--sheet", "s.gif"), 2, "a sheet is a .png"),
    (("red", "--out", "a.png", "--sheet", "b/../a.png"), 2, "this is one of the pictures"),
    (("red", "--out", "a.png", "-n", "3000000000"), 2, "from 1 to 100,000"),
    (("red", "--out", "a.png", "--weights", "text=2", "text=1"), 2, "expected each source once"),
    (("red", "--out", "a.png", "--read", "one.png"), 2, "makes nothing, and a prompt and --model and --out would"),
    (("--from-audio", "a.wav", "--out", "a.png"), 1, "told of things by text, not by audio"),
    (("red " * 9, "--out", "a.png"), 1, "tokens, where at most 10 are read"),
]


@pytest.mark.parametrize(("asked", "code", "told"), WRONG, ids=[told[:25] for *_, told in WRONG])
def test_a_wrong_request_is_told_what_is_wrong_and_leaves_nothing(models, tmp_path, capsys, monkeypatch, asked, code, told):
    monkeypatch.chdir(tmp_path)
    found, said = run(capsys, *asked, "--model", models / "painter")
    assert found == code and told in said["error"] and not any(tmp_path.iterdir())


def test_without_a_model_or_with_one_that_makes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "give --model" in run(capsys, "red")[1]["error"]
    usual, words = Drawing(steps=7, guidance=1.5), Sampling(temperature=0.0)
    assert _how("image", usual, None, None, None, None) == usual and _how("image", usual, 9, None, "heun", None) == Drawing(
        9, 1.5, "heun"
    )
    assert _how("image", usual, None, None, None, 0.5) == Drawing(7, 1.5, temperature=0.5)
    assert _how("text", words, None, None, None, None) == words and _how("text", words, None, None, None, 0.7) == Sampling(0.7)
    with pytest.raises(WrongUsage, match="--guidance: not of text, which this model makes by --temperature"):
        _how("text", words, None, 2.0, None, None)
    code, said = run(capsys, "--read", tmp_path / "absent.png")
    assert code == 1 and "no such file" in said["error"]
