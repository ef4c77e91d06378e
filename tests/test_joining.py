"""Two spaces joined by texts: their other fields find each other, and what was there stays as it was.

The "pictures" and "sounds" are written down: each space reads them with the tower of its texts, so that it is one in which both
agree from the start, and only the bridge between the two spaces is in question. Trained spaces: benchmarks/join.py.
"""

import json
from dataclasses import replace
from itertools import permutations
from string import ascii_lowercase

import numpy as np
import pytest

import sensorium
from sensorium import Sensorium
from sensorium.cli.main import main
from sensorium.joining import CannotJoin, _licence, join
from sensorium.modalities import Text
from sensorium.pretrained.licence import Licence
from sensorium.training import Card
from sensorium.training.weights import arrays, filled

WORDS = ("red", "blue", "green", "dog", "cat", "bird", "runs", "sleeps", "jumps", "here", "there", "away")
TEXTS = [" ".join(three) for three in permutations(WORDS, 3)]


def space(second: str, width: int, seed: int, **more) -> Sensorium:
    """A space of texts and of a second field, whose towers are the same."""
    text = Text(words=WORDS, alphabet=ascii_lowercase, length=6)
    fields = (replace(text, name=second), text)
    layers = {"width": 40, "depth": 0, "heads": 2, "hidden": 8}
    tower = {"encoder": "published_text", "form": "bert_mean", "vocabulary": text.vocabulary_size, "length": 6, "layers": layers}
    card = Card("space", {"encoders": {second: tower, "text": tower}, "width": width, **more})
    held = arrays(card.build(seed))
    held |= {name.replace(".text.", f".{second}."): x for name, x in held.items() if ".text." in name}
    return Sensorium(filled(card.shapes(), held), fields, card)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two() -> tuple[Sensorium, Sensorium]:
    return space("image", 24, 1), space("audio", 32, 2, between="relu")


def found(model: Sensorium, texts: list[str]) -> float:
    """The share of "sounds" whose own "picture" is the nearest."""
    z = model.encode(image=texts, audio=texts)
    return float(np.mean((z["audio"] @ z["image"].T).argmax(axis=1) == np.arange(len(texts))))


def test_things_find_each_other_that_were_never_seen_together(two, tmp_path):
    clip, clap = two
    joined = join(clip, clap, TEXTS[::3], steps=150, noise=0.2)
    assert joined.metrics["recall@1"] > 0.8 > 20 * joined.metrics["chance"] and joined.metrics["cosine"] > 0.7
    made, others = joined.sensorium, TEXTS[1::9]
    assert made.modalities == ("image", "text", "audio")
    assert found(made, others) > 0.6
    z = made.encode(image=others[:5], text=others[:5])
    for name in ("image", "text"):
        np.testing.assert_array_equal(z[name], clip.encode(**{name: others[:5]})[name])
    made.save_pretrained(tmp_path)
    again = sensorium.load(tmp_path)
    assert again.fingerprint == made.fingerprint
    np.testing.assert_array_equal(again.encode(audio=others[:5])["audio"], made.encode(audio=others[:5])["audio"])


def test_a_licence_that_forbids_commercial_use_is_that_of_what_is_joined():
    mit, free, bound = Licence("mit"), Licence("apache-2.0"), Licence("cc-by-nc-4.0")
    assert _licence(mit, bound) == _licence(bound, mit) == bound
    assert _licence(mit, mit) == mit and _licence(mit, free) == _licence(Licence(), mit) == Licence()


def test_a_perceptron_and_unpaired_things_may_take_part(two):
    joined = join(two[0], two[1], TEXTS[::3], steps=20, hidden=16, noise=0.2, things={"audio": TEXTS[::5]})
    kernels = arrays(joined.sensorium.model)
    assert kernels["encoders.audio.bridge.up.kernel"].shape == (24, 16)
    assert np.abs(kernels["encoders.audio.bridge.down.kernel"]).max() > 0, "it trains too"
    assert found(joined.sensorium, TEXTS[1::9]) > 0.3


def test_the_command_joins_by_the_lines_of_a_file(two, tmp_path, capsys):
    for name, one in zip(("clip", "clap"), two, strict=True):
        one.save_pretrained(tmp_path / name)
    (tmp_path / "words.txt").write_text("\n".join(TEXTS[::20]))
    words = ["join", *(str(tmp_path / name) for name in ("clip", "clap")), "--texts", str(tmp_path / "words.txt")]
    assert main([*words, "--out", str(tmp_path / "both"), "--steps", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["fields"] == ["image", "text", "audio"] and result["metrics"]["texts"] == len(TEXTS[::20])
    assert result["base"]["fingerprint"] == two[0].fingerprint
    assert sensorium.load(tmp_path / "both").modalities == ("image", "text", "audio")


def test_spaces_that_cannot_be_joined_are_told(two):
    clip, clap = two
    with pytest.raises(CannotJoin, match="both read image"):
        join(clip, clip, TEXTS)
    with pytest.raises(CannotJoin, match="reads image, text: two spaces are joined that both read sound"):
        join(clip, clap, TEXTS, via="sound")
    with pytest.raises(CannotJoin, match="2 different texts"):
        join(clip, clap, ["a cat", "A  cat", "a dog"])
