"""Every family against what transformers computed from the same small checkpoint: preprocessing, every layer, what is saved.

The checkpoints and numbers in `recorded/` are made by `references.py`, which needs PyTorch; nothing here does.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pretrained.making.common import PICTURES, TEXTS, several
from pretrained.making.video import clips

import sensorium
from sensorium import Sensorium
from sensorium.core.batch import stack
from sensorium.core.errors import UnknownName
from sensorium.encoders.published_text import PublishedText
from sensorium.modalities import Text
from sensorium.models import Generator, Model
from sensorium.pretrained import published
from sensorium.pretrained.family import Folder
from sensorium.pretrained.tensors import tensors

RECORDED = Path(__file__).parent / "recorded"
NAMES = sorted(path.parent.name for path in RECORDED.glob("*/reference.npz"))
NEAR = 1e-5
"""Of the largest number of an output. Both sides round at 6e-8; a wrong epsilon or activation shows at 1e-4 and above."""
BESIDE = {"text/mean", "text/first", "text/maximum"}
"""Poolings of the same tokens, for sentence embeddings."""
COMPUTED = ("image/", "text/", "video/", "audio/", "question/", "answer/l", "similarity", "scale")
every = pytest.mark.parametrize("name", NAMES)


@cache
def loaded(name: str) -> Sensorium:
    return sensorium.load(RECORDED / name)


def encoder_of(model: Model, field: str) -> Any:
    """One of the published encoders, which have more to tell than the contract asks for."""
    return model.encoders[field]


def tower(model: Sensorium, field: str) -> Any:
    return encoder_of(model.model, field)


def texts_of(model: Sensorium) -> Text:
    field = model.field("text")
    assert isinstance(field, Text)
    return field


@cache
def reference(name: str) -> dict[str, np.ndarray]:
    with np.load(RECORDED / name / "reference.npz") as file:
        return dict(file)


def arrays(name: str) -> dict[str, np.ndarray]:
    """What the reference model was given, under our names."""
    return {key.removeprefix("given/"): x for key, x in reference(name).items() if key.startswith("given/")}


def off(got, expected) -> float:
    assert np.shape(got) == np.shape(expected)
    return float(np.abs(np.asarray(got) - expected).max() / np.abs(expected).max())


@every
def test_things_are_made_ready_as_the_reference_does_it(name):
    """Odd sizes, grey, alpha, palettes, EXIF; empty, long, emoji and right-to-left texts."""
    numbers, model = reference(name), loaded(name)
    if "given/image" in numbers:
        field, paths = model.field("image"), sorted(PICTURES.iterdir())
        assert len(paths) == len(numbers["given/image"]) >= 10
        prepared = stack([field.prepare(path) for path in paths])
        assert prepared["image"].dtype == np.uint8
        pixels = np.asarray(tower(model, "image").normalised(jnp.asarray(prepared["image"])))
        kept = numbers["given/image/mask"][..., None] if "given/image/mask" in numbers else 1.0  # of patches, where there are any
        assert np.abs(kept * (pixels - numbers["given/image"])).max() < 1e-6
        assert all((prepared[key] == numbers[f"given/{key}"]).all() for key in prepared.keys() - {"image"})
    if "given/video" in numbers:
        shown = clips(numbers["given/video"].shape[1])
        assert len(shown) == len(numbers["given/video"]) >= 3
        prepared = np.stack([model.field("video").prepare(clip)["video"] for clip in shown])
        assert prepared.dtype == np.uint8
        pixels = tower(model, "video").normalised(jnp.asarray(prepared))
        assert np.abs(np.asarray(pixels) - numbers["given/video"]).max() < 1e-6
    if "given/text" in numbers:
        prepared = texts_of(model).prepare_batch(several(len(numbers["given/text"])))
        assert (prepared["text"] == numbers["given/text"]).all()
        if "given/text/mask" in numbers:
            assert (prepared["text/mask"] == numbers["given/text/mask"]).all() and not numbers["given/text/mask"].all()


@every
def test_every_layer_and_output_is_the_reference_s(name):
    numbers, given = reference(name), {key: jnp.asarray(x) for key, x in arrays(name).items()}
    graph, state = nnx.split(loaded(name).model)

    @jax.jit
    def compute(state, given):
        model = nnx.merge(graph, state)
        layers = {}
        for field in model.encoders:
            parts = [given[field], given.get(f"{field}/mask"), given.get(f"{field}/shape")]
            states = encoder_of(model, field).states(*(parts if parts[2] is not None else parts[:2]))
            layers |= {f"{field}/layers/{i}": x for i, x in enumerate(states)}
        if isinstance(model, Generator) and model.target in given:
            for field, states in model.states(given).items():
                layers |= {f"{field}/layers/{i}": x for i, x in enumerate(states)}
        return layers | model.all_outputs(given)

    found = compute(state, given)
    compared = sorted(found.keys() & numbers.keys())
    assert set(compared) >= {key for key in numbers if key.startswith(COMPUTED)} - BESIDE
    for key in compared:
        got, expected = np.asarray(found[key]), numbers[key]
        field, kind, *_ = [*key.split("/"), ""]
        mask = numbers.get(f"given/{field}/mask")
        if kind in ("tokens", "layers") and mask is not None and mask.shape == expected.shape[:2]:
            got, expected = (x * mask[..., None] for x in (got, expected))  # what becomes of pads is nothing to anybody
        assert off(got, expected) < NEAR, key


@every
def test_what_is_saved_is_the_checkpoint_bit_by_bit_and_loads_again(name, tmp_path):
    loaded(name).save_pretrained(tmp_path)
    before, after = (tensors(path, _said(path).weights) for path in (RECORDED / name, tmp_path))
    unused = {key for key, tensor in before.items() if key.endswith("mask_token") or tensor.dtype.kind == "i"}  # counts, indices
    assert after.keys() == before.keys() - unused
    for key, tensor in after.items():
        assert tensor.read().tobytes() == before[key].read().tobytes(), key
    again = sensorium.load(tmp_path)
    assert again.fingerprint == loaded(name).fingerprint
    assert again.family == loaded(name).family
    assert _said(tmp_path).config["model_type"] == _said(RECORDED / name).config["model_type"]


def _said(path: Path) -> Folder:
    folder = published(path)
    assert folder is not None
    return folder


def test_an_old_clip_pools_at_its_largest_id(tmp_path):
    """Configurations with eos_token_id 2 are wrong about it, and OpenAI's models all have it."""
    folder = copied("clip", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    ids = jnp.asarray([[4, 6, 7, 8, 3], [4, 7, 8, 7, 7]])
    layers = {"width": 4, "depth": 0, "heads": 2, "hidden": 4}
    for text, places in ((sensorium.load(folder), [3, 2]), (loaded("clip"), [2, 1])):  # of 8, the largest; of 7, the end mark
        form = text.card.arguments["encoders"]["text"]["form"]
        tokens, _, pooled = jax.jit(PublishedText(9, 5, layers, form, end=7, rngs=nnx.Rngs(0)).__call__)(ids)
        assert (pooled == tokens[jnp.arange(2), jnp.asarray(places)]).all()


@pytest.mark.parametrize(("mode", "key"), [("cls_token", "first"), ("mean_tokens", "mean"), ("max_tokens", "maximum")])
def test_sentence_embeddings_are_pooled_as_their_folder_says(mode, key, tmp_path):
    folder = copied("bert", tmp_path)
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [{"idx": i, "path": "", "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{one}": one == mode for one in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 20, **modes}))
    model = sensorium.load(folder)
    expected = reference("bert")[f"text/{key}"]
    units = model.encode(text=list(TEXTS))["text"]
    assert off(units, expected / np.linalg.norm(expected, axis=1, keepdims=True)) < NEAR
    model.save_pretrained(tmp_path / "again")
    assert sensorium.load(tmp_path / "again").fingerprint == model.fingerprint


def test_outputs_are_those_of_the_model_and_ask_for_its_fields():
    given = {"text": reference("clip")["given/text"], "text/mask": reference("clip")["given/text/mask"]}
    out = loaded("clip").outputs(**given)
    assert out.keys() == {"scale", "text/tokens", "text/pooled", "text/features", "text/unit"}
    assert off(out["text/features"], reference("clip")["text/features"]) < NEAR
    with pytest.raises(UnknownName, match=r"no field 'txt'.*'text'"):
        loaded("clip").outputs(txt=given["text"])


def test_raw_things_come_to_the_unit_vectors_of_the_reference_and_classes_are_weighed_by_the_mean_of_their_prompts():
    model, pictures = loaded("clip"), sorted(PICTURES.iterdir())
    images = model.encode(image=pictures)["image"]
    assert off(images, reference("clip")["image/unit"]) < NEAR
    templates, labels = ("a {}", "the photo of a {}."), ("cat", "dog", "hat", "猫", "x y", "z", "")
    shares = model.classify(pictures, labels, templates)
    texts = model.encode(text=[template.replace("{}", label) for template in templates for label in labels])["text"]
    means = texts[: len(labels)] + texts[len(labels) :]
    powers = np.exp(np.exp(1.7) * images @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T)
    assert np.allclose(shares, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)
    assert np.ptp(shares, axis=0).min() > 1e-4, "unlike pictures, unlike shares"
    with pytest.raises(ValueError, match="in each template"):
        model.classify(pictures, labels, ["no place"])


def test_labels_of_a_classifier_are_kept():
    assert tower(loaded("vit_labels"), "image").labels == ("cat", "dog", "red bicycle")


def copied(name: str, folder: Path) -> Path:
    target = folder / name
    target.mkdir()
    for path in (RECORDED / name).iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_texts_are_encoded_without_the_filling_after_them():
    """Places after a text cost as much as words, and change no vector: at most 36 here, of which a short text takes 16."""
    model, texts = loaded("mpnet"), ["the cat", "the cat " * 40, ""]
    batch = texts_of(model).prepare_batch(texts)
    assert batch["text"].shape[1] > 16 and batch["text/mask"].sum(axis=1)[0] <= 16
    before = model.traces
    found = model.encode(text=texts)["text"]
    assert model.traces - before == 2, "one program for the short, one for the long"
    assert off(found, model.units(batch, 3)["text/unit"]) < NEAR
