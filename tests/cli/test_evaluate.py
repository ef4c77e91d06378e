"""`sensorium evaluate` of a model that captions: what it says beside the captions of a folder."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image as Pillow

from sensorium.cli.main import main
from sensorium.core.protocols import Item
from sensorium.metrics import captioning
from sensorium.modalities import Image, Text
from sensorium.modalities.transcript import NotAsked
from sensorium.models import Generator
from sensorium.recipes.tellers import teller
from sensorium.run import evaluate_captions
from sensorium.sensorium import Sensorium

WORDS = Text(words=("red", "blue", "ring", "star", "left"), alphabet="abdefgilnrstu", length=6)
SAID = (("a red ring", "red ring left"), ("a blue star",), ("blue ring blue", "a ring", "ring"), ("red star left",))


class Silent(Sensorium):
    """A model that is no `Generator`."""

    model, fields = None, (Image(size=16), WORDS)  # type: ignore[assignment]

    def __init__(self):
        pass


@pytest.fixture(scope="module")
def model() -> Sensorium:
    """With opinions of its own, and none but words and the end to say."""
    image = Image(size=16)
    card = teller((image,), WORDS, 8, {"image": {"widths": [4, 6]}}, depth=1, heads=2)
    made = card.build(1)
    assert isinstance(made, Generator)
    head = made.decoder.inner.head  # type: ignore[union-attr]
    head.kernel[...] *= 20.0
    head.bias[...] = jnp.full(WORDS.vocabulary_size, -1e4).at[-5:].set(0.0).at[3].set(2.0)  # type: ignore[index]
    return Sensorium(made, (image, WORDS), card)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for i, texts in enumerate(SAID):
        pixels = np.random.Generator(np.random.Philox(i)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(root / f"{i}.png")
        (root / f"{i}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return root


def test_what_it_says_is_measured_beside_all_captions_of_each_picture(model, folder, tmp_path, capsys):
    model.save_pretrained(tmp_path / "run")
    assert main(["evaluate", str(tmp_path / "run"), str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    said = [str(text) for text in model.caption([folder / f"{i}.png" for i in range(4)])]
    expected = captioning(said, SAID)
    found = {key.removeprefix("image->text/"): value for key, value in result["metrics"].items()}
    assert found.pop("captions") == result["items"] == 4
    assert found == pytest.approx(expected) and 0 < found["rouge_l"] < 1
    assert main(["evaluate", str(tmp_path / "run"), str(folder)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "image → text",
        "BLEU-4",
        "chance",
        f"{100 * expected['rouge_l']:.1f}",
        f"{expected['cider']:.2f}",
        "of 4 captions",
    ):
        assert part in shown, part


def test_pictures_without_captions_are_left_out_and_too_few_are_nothing(model, folder, tmp_path, capsys):
    items = [Item(str(i), {"image": (folder / f"{i}.png",)} | ({"text": SAID[i]} if i else {})) for i in range(4)]
    assert evaluate_captions(model, items)["image->text/captions"] == 3
    assert evaluate_captions(model, items[:2]) == {}
    several = [Item("1", {"image": (folder / "1.png", folder / "2.png"), "text": SAID[1]})]
    assert evaluate_captions(model, several)["image->text/captions"] == 2, "each picture of an item"
    with pytest.raises(NotAsked, match="of image, text does not caption: see evaluate"):
        evaluate_captions(Silent(), items)
