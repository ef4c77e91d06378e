"""The model that is taken where none is named: the newest that can do what is asked, and no other."""

import json
import os

import pytest
from models.makers import any_to_any, maker, planning

from sensorium.cli import usual
from sensorium.cli.main import WrongUsage, main
from sensorium.cli.usual import able, model_for
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
        one: (model.card, model.fields) for one, model in (("painter", maker()), ("planner", planning()), ("any", any_to_any()))
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
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("doing", "sources", "to", "expected"),
    [
        ("generate", ["text"], None, "planner"),
        ("generate", ["text"], "image", "planner"),
        ("generate", ["image"], "image", "any"),
        ("generate", ["sensor", "text"], "image", "any"),
        ("generate", ["image"], "text", "any"),
        ("generate", ["text"], "video", None),
        ("generate", ["audio"], "image", None),
        ("caption", ["image"], None, "captions"),
        ("caption", ["video"], None, "films"),
        ("caption", ["sensor"], None, "any"),
        ("caption", [], None, "films"),
        ("ask", ["image"], None, "answers"),
        ("ask", ["video"], None, None),
    ],
)
def test_the_newest_that_can_is_taken(runs, capsys, doing, sources, to, expected):
    if expected is None:
        with pytest.raises(WrongUsage, match=f"Nothing in runs/ can {doing}.*sensorium learn {usual.LEARN[doing]}"):
            model_for(doing, None, sources, to)
        return
    assert model_for(doing, None, sources, to) == f"runs/{expected}"
    assert f"--model runs/{expected}, the newest in runs/" in capsys.readouterr().err
    assert model_for(doing, "mine", sources, to) == "mine" and not capsys.readouterr().err


def test_what_is_newer_goes_first_and_what_is_no_model_is_passed_over(runs):
    os.utime(runs / "painter" / "config.json", (5000, 5000))
    assert model_for("generate", None, ["text"], "image") == "runs/painter"
    assert able(runs / "broken") is None and able(runs / "clip") is None and able(runs / "absent") is None


def test_without_runs_one_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in (["generate", "red", "--out", "a.png"], ["caption", "a.png"], ["ask", "a.png", "what"], ["describe", "a.png"]):
        assert main(line) == 2 and "give --model" in capsys.readouterr().err
    assert main(["summarize", "a.mp4"]) == 2 and "can caption of video" in capsys.readouterr().err
