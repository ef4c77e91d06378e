"""A model of the house that tells: captions with their scores, several of them, descriptions and summaries, and the verbs."""

import json
from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from models.makers import IMAGE, SENSOR, TEXT, any_card, shaken
from models.makers import WORDS as TOLD
from PIL import Image as Pillow

import sensorium
from sensorium.cli.main import main
from sensorium.decoders import Sampling, TellingDecoder
from sensorium.modalities import Audio, BadRaw, Image, Text, Video
from sensorium.modalities.transcript import NotAsked
from sensorium.models import Generator
from sensorium.models.making import NoDecoder
from sensorium.models.telling import Telling
from sensorium.recipes import questions as QUESTIONS
from sensorium.recipes.tellers import teller
from sensorium.sensorium import Sensorium
from sensorium.training import Card

WORDS = Text(words=("red", "blue", "ring", "star", "left"), alphabet="abdefgilnrstu", length=6)
FIELDS = {
    "image": (Image(size=16), {"widths": [4, 6]}),
    "audio": (Audio(rate=8000, seconds=0.2), {"widths": [4, 6]}),
    "video": (Video(size=16, frames=2), {"encoder": "video", "width": 8, "depth": 1}),
}


@cache
def model(kind: str = "image") -> Sensorium:
    """With opinions of its own."""
    field, dials = FIELDS[kind]
    card = teller((field,), WORDS, 8, {kind: dials}, depth=1, heads=2)
    made = card.build(1)
    assert isinstance(made, Generator)
    assert isinstance(made.decoder, TellingDecoder)
    head = made.decoder.inner.head
    assert head.bias is not None
    head.kernel[...] *= 20.0
    head.bias[...] = jnp.full(WORDS.vocabulary_size, -1e4).at[-5:].set(0.0).at[3].set(2.0)  # words and the end, no letters
    return Sensorium(made, (field, WORDS), card)


@cache
def pictures() -> list[np.ndarray]:
    return list(np.random.Generator(np.random.Philox(3)).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))


def test_arrays_of_jax_are_things_too_and_whoever_tells_makes_nothing_else():
    (thing, *_), jaxs = pictures(), jnp.asarray(pictures()[0])
    assert model().caption(jaxs) == model().caption(thing) and model().caption([jaxs, thing])[0] == model().caption(thing)[0]
    wave = np.sin(np.arange(1600, dtype=np.float32))
    assert model("audio").caption([(jnp.asarray(wave), 8000)]) == model("audio").caption([(wave, 8000)])
    with pytest.raises(NoDecoder, match="tells of things in words: see caption"):
        model().generate("text", image=thing)


def test_one_program_serves_all_numbers_of_a_sampling():
    doing, leaves, likeliest = model()._told(), model().parameters(), model().caption(pictures())
    before, told = doing._tell._cache_size(), []
    for sampling in (Sampling(), Sampling(0.4), Sampling(3.0), Sampling(0.0)):
        told.append(doing.caption(leaves, pictures(), Telling(sampling=sampling, seed=3)))
    assert doing._tell._cache_size() == before + 1 and len({str(one) for one in told}) > 2
    assert [[str(text) for text in texts] for texts in told[3]] == [[str(text)] for text in likeliest]
    first = [str(doing.caption(leaves, pictures(), Telling(sampling=Sampling(top_k=k), seed=3))) for k in (1, 3)]
    assert doing._tell._cache_size() == before + 2 and first[0] != first[1], "another one where words are left out"


def test_a_picture_is_told_of_alone_as_among_others_up_to_the_longest_text_with_what_it_is_worth():
    told = model().caption(pictures())
    assert model().caption(pictures()[1]) == told[1:2] and len(set(told)) > 1
    words = model()._told()
    ended = [text for text in told if words.readable(text)]
    chances = words.likely(model().parameters(), (pictures(),), [str(text) for text in ended])
    assert ended
    for i, text in enumerate(ended):
        np.testing.assert_allclose(chances[told.index(text), i], text.score, atol=1e-3)
    begun = model().caption(pictures(), prompt="blue ring")
    assert all(text.startswith("blue ring") for text in begun)
    with pytest.raises(BadRaw, match="5 words after a prompt of 3 tokens: this model has 5 places"):
        model().caption(pictures(), prompt="blue ring", length=5)


def test_several_captions_differ_and_come_with_falling_scores():
    best = model().candidates(pictures(), Telling(beams=4, many=3))
    for texts, greedy in zip(best, model().caption(pictures()), strict=True):
        assert len({str(text) for text in texts}) == len(texts) == 3
        assert sorted([text.score for text in texts], reverse=True) == [text.score for text in texts]
        assert texts[0].score >= greedy.score - 1e-5
    drawn = model().candidates(pictures())
    assert drawn == model().candidates(pictures()) and all(1 <= len(texts) <= 5 for texts in drawn)
    with pytest.raises(ValueError, match="many=2: one text is the likeliest"):
        Telling(many=2)
    with pytest.raises(ValueError, match="many=5: a search of 3 beams ends with as many texts"):
        Telling(beams=3, many=5)
    with pytest.raises(ValueError, match="beams=100000, many=1: at most 1024"):
        Telling(beams=100_000)
    with pytest.raises(ValueError, match="seed=4294967296: expected a whole number from 0 to 4294967295"):
        Telling(seed=2**32)


def test_a_space_with_a_decoder_of_texts_captions_whatever_it_reads(tmp_path: Path):
    told = any_card(text=TOLD)
    card = Card("any_to_any", dict(told.arguments) | {"end": TEXT.end, "pad": 0})
    whole = Sensorium(shaken(card.build(0)), (TEXT, IMAGE, SENSOR), card)
    photo = tmp_path / "photo.png"
    Pillow.fromarray(pictures()[0]).save(photo)
    (greedy,) = whole.caption(str(photo))
    assert greedy == whole.generate("text", image=str(photo))[0] and greedy.score < 0
    best = whole.candidates([str(photo)], Telling(beams=4, many=4))[0]
    assert len(set(best)) == len(best) > 1 and best[0].score >= greedy.score - 1e-5
    assert whole.caption(pictures()[0]) == [greedy] and str(whole.describe(photo, draws=8))
    with pytest.raises(BadRaw, match=r"clip\.mp4: a file of the kind video, where this model tells of image, sensor"):
        whole.caption("clip.mp4")
    trace = (np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32), 8.0)
    assert whole.caption([trace], field="sensor") == whole.generate("text", sensor=[trace])
    assert whole.candidates([trace], field="sensor")[0]
    for wrong, told in (("sensr", "Did you mean 'sensor'"), ("text", "tells of image, sensor")):
        with pytest.raises(BadRaw, match=told):
            whole.caption([trace], field=wrong)
    with pytest.raises(NotAsked, match="this model tells without being asked"):
        whole.ask(photo, "what is it?")


def test_a_model_that_answers_questions_describes_nothing():
    card = QUESTIONS(steps=1, batch=2).model
    asked = Sensorium(card.build(0), QUESTIONS(steps=1, batch=2).fields, card)
    with pytest.raises(NotAsked, match="this model answers questions: see ask"):
        asked.describe(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(BadRaw, match="expected texts, and none that is empty"):
        asked.ask(np.zeros((64, 64, 3), np.uint8), "how many?", answers=["", "one"])


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_whatever_the_model_reads_is_told_of(kind):
    random = np.random.Generator(np.random.Philox(4))
    raws = {
        "audio": [(random.normal(0, 0.1, 1600).astype(np.float32), 8000) for _ in range(2)],
        "video": [(random.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8), 8.0) for _ in range(2)],
    }[kind]
    told = model(kind).caption(raws)
    assert len(told) == 2 and all(text.score < 0 for text in told)
    if kind == "audio":
        with pytest.raises(NotAsked, match="this model tells of no clips"):
            model(kind).summarize(raws[0])
        return
    clip = np.concatenate([raws[0][0], raws[0][0], raws[1][0]])
    (first, *rest) = model(kind).summarize((clip, 8.0), window=0.5)
    assert first.start == 0.0 and first.end >= 1.0 and (not rest or rest[-1].end == 1.5)
    assert first.text.lower() in {f"{text}." for text in told}


def test_the_command_line_says_the_same(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(sensorium, "load", lambda name: model())
    for i, pixels in enumerate(pictures()):
        Pillow.fromarray(pixels).save(tmp_path / f"{i}.png")
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    assert main(["caption", *files, "--model", "m", "--beams", "4", "-n", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["captions"]
    best = model().candidates(pictures(), Telling(beams=4, many=3))
    assert [[one["caption"] for one in row["candidates"]] for row in rows] == best
    assert [row["file"] for row in rows] == files and rows[0]["score"] == round(best[0][0].score, 4)
    assert main(["caption", *files, "--model", "m", "--beams", "4", "-n", "3"]) == 0
    line = f"{files[1]}\n{best[1][0].score:9.2f}  {best[1][0]}\n"
    assert line in capsys.readouterr().out
    assert main(["caption", files[0], "--model", "m", "--beams", "2", "--top-k", "3"]) == 2
    assert "a search draws nothing" in capsys.readouterr().err
    for wrong in (["--temperature", "-1"], ["--top-p", "2"], ["--top-k", "0"], ["--length", "0"], ["--beams", "3", "-n", "5"]):
        assert main(["caption", files[0], "--model", "m", *wrong]) == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert main(["describe", files[0], "--model", "m", "--seed", "-1"]) == 2
    assert main(["ask", files[0], "what?", "--model", "m", "--beams", "0"]) == 2
    assert "beams=0" in capsys.readouterr().err
    assert main(["describe", files[0], "--model", "m", "--draws", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["description"] == str(model().describe(pictures()[0]))
    assert main(["summarize", files[0], "--model", "m"]) == 1
    assert "tells of no clips" in capsys.readouterr().err
