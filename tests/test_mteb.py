"""The adapter for mteb, by the shape of its protocol; mteb itself is not needed, and PyTorch neither."""

import inspect
import sys
from string import ascii_lowercase

import numpy as np
import pytest
from PIL import Image as Pillow

from sensorium import Sensorium
from sensorium.core.errors import MissingExtra, SensoriumError
from sensorium.modalities import Audio, Image, Text
from sensorium.mteb import Encoder
from sensorium.recipes.towers import space

FIELDS = (Image(size=8), Text(words=("red",), alphabet=ascii_lowercase, length=6), Audio(rate=2000, seconds=0.5))
DIALS = {"convnet": {"widths": [6, 8]}, "text_transformer": {"width": 8, "heads": 2, "window": 3}, "audio_convnet": {"bins": 16}}
CARD = space(FIELDS, 12, DIALS)
GIVEN = {"task_metadata": None, "hf_split": "test", "hf_subset": "default"}


@pytest.fixture(scope="module")
def model() -> Sensorium:
    return Sensorium(CARD.build(0), FIELDS, CARD)


def picture(level: int) -> Pillow.Image:
    return Pillow.new("RGB", (12, 9), (level, 0, 255 - level))


def sound(pitch: float) -> np.ndarray:
    return np.sin(np.arange(1000) * pitch)


def test_batches_become_rows_in_order(model):
    batches = [{"text": ["red", "a b"], "id": ["1", "2"], "body": ["red", "a b"]}, {"text": ["cd"], "id": ["3"], "body": ["cd"]}]
    made = Encoder(model).encode(batches, **GIVEN, prompt_type="query", batch_size=2, show_progress_bar=False)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, model.encode(text=["red", "a b", "cd"])["text"], atol=1e-6)


def test_pictures_and_sounds_are_read_as_mteb_gives_them(model):
    pictures, left, right = [picture(0), picture(200)], sound(0.3), sound(0.5)
    encoder = Encoder(model)
    np.testing.assert_allclose(encoder.encode([{"image": pictures}], **GIVEN), model.encode(image=pictures)["image"], atol=1e-6)
    sounds = [{"array": left, "sampling_rate": 2000}, {"array": np.stack([left, right]), "sampling_rate": 2000}]
    raws = [(left.astype(np.float32), 2000), (np.stack([left, right], 1).astype(np.float32), 2000)]
    np.testing.assert_allclose(encoder.encode([{"audio": sounds}], **GIVEN), model.encode(audio=raws)["audio"], atol=1e-6)


def test_a_thing_of_two_kinds_is_the_direction_of_their_sum(model):
    made = Encoder(model).encode([{"image": [picture(9)], "text": ["red"]}], **GIVEN)
    total = sum(model.encode(image=[picture(9)], text=["red"]).values())
    np.testing.assert_allclose(made, total / np.linalg.norm(total), atol=1e-6)


def test_what_the_model_does_not_read_is_said(model):
    with pytest.raises(SensoriumError, match=r"holds video; this model reads text, image, audio of it"):
        Encoder(model).encode([{"text": ["a"], "video": [None]}], **GIVEN)
    with pytest.raises(SensoriumError, match=r"holds none of text, image, audio, but id"):
        Encoder(model).encode([{"id": ["1"]}], **GIVEN)


def test_similarities_are_cosines_of_rows_and_of_one(model):
    encoder, z = Encoder(model), model.encode(text=["red", "ab"])["text"]
    np.testing.assert_allclose(encoder.similarity(z, z), z @ z.T, atol=1e-6)
    np.testing.assert_allclose(encoder.similarity_pairwise(z, z[::-1]), [z[0] @ z[1]] * 2, atol=1e-6)
    assert float(encoder.similarity(z[0], z[1])) == pytest.approx(float(z[0] @ z[1]), abs=1e-6)


def test_what_mteb_is_told(model, tmp_path, monkeypatch):
    about = Encoder(model, name="me/model").about
    assert about["name"] == "me/model" and about["revision"] == model.fingerprint and about["embed_dim"] == 12
    assert about["modalities"] == ["text", "image", "audio"]
    model.save_pretrained(tmp_path / "runs/a")
    read = Encoder(str(tmp_path / "runs/a"), None, device="cpu")
    assert read.name == "runs/a" and read.about["revision"] == model.fingerprint
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtra, match=r"sensorium\[mteb\]"):
        _ = read.mteb_model_meta
    taken = inspect.signature(Encoder.encode).parameters
    assert taken["inputs"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {"task_metadata", "hf_split", "hf_subset", "prompt_type"} <= set(taken)
