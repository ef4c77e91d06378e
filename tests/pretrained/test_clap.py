"""CLAP beside what every family is asked: sounds as the reference hears them, two scales, sounds by labels, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from pretrained.making.clap import RATE, sounds
from pretrained.making.common import TEXTS
from pretrained.test_families import copied, loaded, off, reference, texts_of

import sensorium
from sensorium import Sensorium
from sensorium.core.errors import BadFile
from sensorium.modalities.spectrogram import Spectrogram

both = pytest.mark.parametrize("name", ["clap", "clap_fused"])


def edited(folder: Path, file: str, *within: str, **changes: object) -> Path:
    """The folder, with some entries of an object in one of its JSON files changed."""
    said = json.loads((folder / file).read_text())
    inner = said
    for name in within:
        inner = inner[name]
    inner |= changes
    (folder / file).write_text(json.dumps(said))
    return folder


@both
def test_sounds_are_made_ready_as_the_reference_does_it(name):
    """Short, just fitting, silent, of one sample, long, and longer by less than a frame."""
    numbers, field = reference(name), loaded(name).field("audio")
    prepared = [field.prepare((wave, RATE)) for wave in sounds()]
    assert len(prepared) == len(numbers["given/audio"])
    for got, expected in zip(prepared, numbers["given/audio"], strict=True):
        assert got["audio"].shape == expected.shape
        np.testing.assert_allclose(got["audio"], expected, atol=1e-4)  # decibels
    if name == "clap_fused":
        masks = np.stack([got["audio/mask"] for got in prepared])
        np.testing.assert_array_equal(masks, numbers["given/audio/mask"])
        assert 0 < masks[:, 1].sum() < len(masks)


@both
def test_raw_sounds_come_to_the_reference_s_vectors(name):
    found = loaded(name).encode(audio=[(wave, RATE) for wave in sounds()])["audio"]
    assert off(found, reference(name)["audio/unit"]) < 1e-5
    scales = [reference(name)[key] for key in ("scale", "scale/text-audio")]
    assert scales[0] != scales[1] and {"similarity", "similarity/text-audio"} <= reference(name).keys()


def test_sounds_are_classified_by_labels():
    """By the scale of sounds, as the reference's logits_per_audio has it."""
    model, given, labels = loaded("clap"), [(wave, RATE) for wave in sounds()], ["cat", "photo of a", "猫"]
    shares = model.classify(labels=labels, templates=["{}"], audio=given)
    found = model.encode(audio=given, text=labels)
    powers = np.exp(reference("clap")["scale"] * model.similarity(found["audio"], found["text"]))
    assert np.allclose(shares, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)
    assert np.ptp(shares, axis=0).min() > 1e-3, "unlike sounds, unlike shares"
    assert np.array_equal(model.classify(given, labels, ["{}"]), shares), "sounds are what it classifies, by name or not"


def test_a_tokenizer_of_pieces_and_merges_is_the_same(tmp_path):
    folder = copied("clap", tmp_path)
    said = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadFile, match=r"neither tokenizer\.json nor vocab\.json and merges\.txt"):
        sensorium.load(folder)
    (folder / "vocab.json").write_text(json.dumps(said["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in said["merges"])]))
    made = texts_of(sensorium.load(folder)).prepare_batch(TEXTS)
    assert (made["text"] == reference("clap")["given/text"]).all()
    (folder / "vocab.json").write_text(json.dumps({"a": 0}))
    with pytest.raises(BadFile, match=r"vocab\.json.*<mask> among them"):
        sensorium.load(folder)


def test_in_the_layout_of_the_house_it_is_the_same_model(tmp_path):
    model = loaded("clap_fused")
    Sensorium(model.model, model.fields, model.card).save_pretrained(tmp_path)
    again = sensorium.load(tmp_path)
    assert again.fingerprint == model.fingerprint and isinstance(again.field("audio"), Spectrogram)


@pytest.mark.parametrize(
    ("file", "within", "changes", "told"),
    [
        ("preprocessor_config.json", (), {"truncation": "rand_trunc"}, "by rand_trunc of 64 bands.*built for fusion of 64"),
        ("preprocessor_config.json", (), {"feature_size": 32}, "by fusion of 32 bands"),
        ("preprocessor_config.json", (), {"padding": "wrap"}, "padding 'wrap'; known are .*repeatpad"),
        ("config.json", ("audio_config",), {"fusion_type": "channel_map"}, "fusion_type is 'channel_map'"),
        ("config.json", ("audio_config",), {"hidden_size": 768}, "6 numbers a patch come to 768 in 2 stages"),
        ("config.json", ("audio_config",), {"window_size": 5}, "last grid is 4×4, and windows 5×5"),
        ("config.json", ("audio_config",), {"spec_size": 112}, "side=112, bins=64.*have to divide the side"),
    ],
)
def test_what_does_not_fit_is_told(file, within, changes, told, tmp_path):
    with pytest.raises(BadFile, match=told):
        sensorium.load(edited(copied("clap_fused", tmp_path), file, *within, **changes))


def test_its_preprocessing_may_lie_in_a_processor_config_and_has_to_be_there(tmp_path):
    folder = copied("clap", tmp_path)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadFile, match=r"lacks preprocessor_config\.json, which says how sounds"):
        sensorium.load(folder)
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": said}))
    assert sensorium.load(folder).field("audio") == loaded("clap").field("audio")
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": said | {"padding": "wrap"}}))
    with pytest.raises(BadFile, match=r"/processor_config\.json: .*padding 'wrap'"):
        sensorium.load(folder)


def test_spectrograms_of_another_form_are_told_with_their_shape():
    with pytest.raises(
        ValueError, match="sounds of 1×9×5, where this encoder is built for 1 spectrograms × up to 96 frames × 24"
    ):
        loaded("clap").outputs(audio=np.zeros((1, 1, 9, 5), np.float32))
