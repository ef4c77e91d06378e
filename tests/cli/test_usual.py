"""The model that is taken where none is named: the newest that can do what is asked, and no other."""

import json
import os
from pathlib import Path

import pytest
from models.makers import any_planning, any_to_any, maker, planning

from sensorium.cli.main import WrongUsage, main
from sensorium.cli.usual import able, kinds_of, model_for
from sensorium.modalities import Image, Text, Video
from sensorium.pretrained.own import configuration
from sensorium.recipes.tellers import teller
from sensorium.training import Card

WORDS = Text(words=("red", "ring"), alphabet="abdefgilnrstu", length=5)


def told(kind, asks: bool = False) -> tuple[Card, tuple]:
    thing, question = kind(size=16), Text("question", ("red",), "abcdefghijklmnopqrstuvwxyz", 12)
    fusion = {"fusion": "attention", "heads": 2, "depth": 1} if asks else None
    fields = (thing, question) if asks else (thing,)
    return teller(fields, WORDS, 8, {}, depth=1, heads=2, fusion=fusion), (*fields, WORDS)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Folders of configurations, the later ones newer; one that is broken, and one that is a published model's."""
    monkeypatch.chdir(tmp_path)
    models = {
        one: (model.card, model._every)
        for one, model in (("any-plans", any_planning()), ("painter", maker()), ("planner", planning()), ("any", any_to_any()))
    }
    models |= {"captions": told(Image), "films": told(Video), "answers": told(Image, asks=True)}
    for age, name in enumerate([*models, "broken", "clip"]):
        (tmp_path / "runs" / name).mkdir(parents=True)
        path = tmp_path / "runs" / name / "config.json"
        if name in models:
            path.write_text(json.dumps(configuration(*models[name])))
        else:
            path.write_text('{"builder": "maker"' if name == "broken" else '{"architectures": ["CLIPModel"]}')
        os.utime(path, (1000 + age, 1000 + age))
        (path.parent / "model.safetensors").touch()
    (tmp_path / "runs" / "killed").mkdir()  # newer than all of them, and without weights
    (tmp_path / "runs" / "killed" / "config.json").write_text((tmp_path / "runs" / "planner" / "config.json").read_text())
    (tmp_path / "runs" / "deep").mkdir()
    (tmp_path / "runs" / "deep" / "config.json").write_text("[" * 100_000)
    (tmp_path / "runs" / "deep" / "model.safetensors").touch()
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("doing", "sources", "to", "expected"),
    [
        ("generate", ["text"], None, "planner"),
        ("generate", ["text"], "image", "planner"),
        ("generate", ["image"], "image", "any"),
        ("generate", ["sensor", "text"], "image", "any"),
        ("generate", ["image"], "text", "any"),
        ("generate", ["text"], "plan", "planner"),
        ("generate", ["image"], "plan", "any-plans"),
        ("generate", ["text"], "video", "make video from text: to make one, sensorium learn clips --out runs/clips"),
        ("generate", ["text"], "audio", "make audio from text: to make one, sensorium learn sounds --out runs/sounds"),
        ("generate", ["audio"], "image", "make image from audio: sensorium learn anything makes one"),
        ("caption", ["image"], None, "captions"),
        ("caption", ["video"], None, "films"),
        ("caption", ["sensor"], None, "any"),
        ("caption", [], None, "films"),
        ("ask", ["image"], None, "answers"),
        (
            "ask",
            ["video"],
            None,
            "answer questions about video: to make one, sensorium learn questions --source video --out runs/questions-of-video",
        ),
        (
            "caption",
            ["audio"],
            None,
            "caption audio: to make one, sensorium learn captions --source audio --out runs/captions-of-audio",
        ),
    ],
)
def test_the_newest_that_can_is_taken(runs, capsys, doing, sources, to, expected):
    if expected not in os.listdir(runs):
        with pytest.raises(WrongUsage, match=f"Nothing in runs/ can {expected}"):
            model_for(doing, None, sources, to)
        return
    assert model_for(doing, None, sources, to) == f"runs/{expected}"
    assert f"--model runs/{expected}, the newest in runs/" in capsys.readouterr().err
    assert model_for(doing, "mine", sources, to) == "mine" and not capsys.readouterr().err


def test_what_is_newer_goes_first_and_what_is_no_model_is_passed_over(runs):
    os.utime(runs / "painter" / "config.json", (5000, 5000))
    assert model_for("generate", None, ["text"], "image") == "runs/painter"
    assert able(runs / "broken") is None and able(runs / "clip") is None and able(runs / "absent") is None
    assert kinds_of([Path("a.gif"), Path("b.mp4"), Path("c.what")]) == ["video"]


def test_what_cannot_be_looked_into_is_passed_over(runs, monkeypatch):
    stat = os.stat
    denied = PermissionError(13, "Permission denied")

    def closed(path, *rest, **more):
        if Path(path).parent.name in ("any", "any-plans"):
            raise denied
        return stat(path, *rest, **more)

    monkeypatch.setattr(os, "stat", closed)
    assert model_for("generate", None, ["text"], "image") == "runs/planner"
    with pytest.raises(WrongUsage, match="Nothing in runs/ can make text from image"):
        model_for("generate", None, ["image"], "text")


def test_without_runs_one_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in (["generate", "red", "--out", "a.png"], ["caption", "a.png"], ["ask", "a.png", "what"], ["describe", "a.png"]):
        assert main(line) == 2 and "give --model" in capsys.readouterr().err
    assert main(["summarize", "a.mp4"]) == 2 and "--source video --motion 1.0" in capsys.readouterr().err
