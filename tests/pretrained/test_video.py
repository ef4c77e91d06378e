"""Clips of published checkpoints: which frames are looked at, torchvision's pixels, classes, and folders as they are found."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from modalities.films import film, number_of, numbered
from pretrained.making.common import TEXTS
from pretrained.making.video import clips
from pretrained.test_families import NEAR, RECORDED, copied, loaded, off, reference
from safetensors.numpy import load_file, save_file

import sensorium
from sensorium import Sensorium
from sensorium.core.errors import BadFile
from sensorium.encoders.published_video import PublishedVideo
from sensorium.encoders.published_xclip import PublishedXCLIP
from sensorium.modalities import BadRaw, picture_torchvision
from sensorium.modalities.film import Film
from sensorium.modalities.picture import Processing
from sensorium.nn.standard import LayerNorm

AS_IT_IS = Processing((32, 80), 2, ())


@pytest.mark.parametrize(("total", "seen"), [(50, [0, 12, 25, 37]), (4, [0, 1, 2, 3]), (3, [0, 0, 1, 2]), (1, [0, 0, 0, 0])])
def test_frame_i_of_n_is_number_i_of_total_over_n_and_short_clips_show_their_frames_again(total, seen):
    field = Film(frames=4, processing=AS_IT_IS)
    for raw in (film(stamps=range(total)), np.stack([numbered(i) for i in range(total)])):
        out = field.prepare(raw)
        assert [number_of(frame) for frame in out["video"]] == seen and out["video/mask"].all()
        np.testing.assert_allclose(out["video/time"], np.array(seen) / 25, atol=1e-6)
    blank = field.blank()
    assert {key: (x.shape, x.dtype) for key, x in blank.items()} == {key: (x.shape, x.dtype) for key, x in out.items()}
    assert not blank["video/mask"].any() and field.show(out["video"]).size == (320, 32)


def test_of_a_long_clip_the_first_seconds_are_looked_at():
    field = Film(frames=4, processing=AS_IT_IS, seconds=0.32)
    assert [number_of(frame) for frame in field.prepare(film())["video"]] == [0, 2, 4, 6]
    assert field.measure(film()) == (2.0, 0.32) and field.fps == 12.5
    with pytest.raises(BadRaw, match="frames=0"):
        Film(frames=0)


def test_torchvision_takes_the_four_nearest_pixels_and_rounds_half_to_even():
    row = np.array([0, 10, 20, 30, 40, 51], np.uint8)
    x = np.broadcast_to(row[None, :, None], (3, 6, 3)).copy()
    # Centres of 2 pixels lie at 1 and 4 of 6, of 4 at 0.25, 1.75, 3.25, 4.75: 42.5 + … = 48.25
    assert (picture_torchvision.bilinear(x, 3, 2)[0, :, 0] == [10, 40]).all()
    assert (picture_torchvision.bilinear(x, 5, 4)[2, :, 1] == [2, 18, 32, 48]).all()
    assert (picture_torchvision.bilinear(x.transpose(1, 0, 2), 4, 1)[:, 0, 2] == [2, 18, 32, 48]).all()
    wide = np.arange(3 * 9 * 3, dtype=np.uint8).reshape(3, 9, 3)
    assert (picture_torchvision.middle(wide, 1, 4) == wide[1:2, 2:6]).all()  # 2.5 from the left
    assert (picture_torchvision.middle(wide, 2, 2) == wide[0:2, 4:6]).all()  # 3.5 from the left, 0.5 from above
    for wrong in (Processing(like="pillow").resize, (30, 40)):
        with pytest.raises(BadRaw, match="as torchvision does it"):
            Processing(wrong, 2, (31, 31), "torchvision")
    with pytest.raises(BadRaw, match="one of pillow, torchvision"):
        Processing(like="opencv")


@pytest.mark.parametrize("name", ["videomae_labels", "r3d", "vit_labels"])
def test_without_labels_things_are_shared_out_among_the_classes_of_the_checkpoint(name):
    model = loaded(name)
    kind = model.fields[0].name
    logits = reference(name)[f"{kind}/logits"]
    if kind == "video":
        things = clips(reference(name)["given/video"].shape[1])
    else:
        things = list(np.random.default_rng(0).integers(0, 256, (2, 18, 18, 3)).astype(np.uint8))
        logits = model.outputs(image=np.stack(things))["image/logits"]
    shares = model.classify(list(things))
    powers = np.exp(logits.astype(np.float64))
    assert off(shares, powers / powers.sum(axis=1, keepdims=True)) < NEAR
    assert shares.shape[1] == len(model.labels) and np.ptp(shares, axis=0).max() > 1e-4
    named: dict[str, Any] = {kind: list(things[::-1])}
    assert off(model.classify(**named), shares[::-1]) < NEAR


def test_classes_are_asked_of_models_that_have_them_and_of_one_field():
    model = loaded("r3d")
    assert model.labels == ("jumping", "running") and loaded("videomae").labels == ()
    with pytest.raises(BadRaw, match="no labels of its own for 'video'"):
        loaded("videomae").classify(list(clips(7)))
    with pytest.raises(BadRaw, match="things of one field"):
        model.classify()


def test_texts_are_seen_in_the_light_of_each_clip():
    """X-CLIP: the similarity of a text with a clip is not the cosine of their vectors, and classes are weighed by it."""
    model, numbers = loaded("xclip"), reference("xclip")
    things, texts = list(clips(3)), [text for text in TEXTS if text]
    expected = numbers["similarity"].T[:, [bool(text) for text in TEXTS]].astype(np.float64)
    powers = np.exp(expected)
    shares = model.classify(things, texts, ["{}"])
    assert off(shares, powers / powers.sum(axis=1, keepdims=True)) < NEAR
    plain = np.exp(numbers["scale"] * numbers["video/unit"] @ numbers["text/unit"].T)[:, [bool(text) for text in TEXTS]]
    assert np.abs(plain / plain.sum(axis=1, keepdims=True) - shares).max() > 1e-2
    assert model.classify([], texts).shape == (0, len(texts))


def test_a_file_comes_to_the_vector_of_its_frames(tmp_path):
    (tmp_path / "a.mp4").write_bytes(film(stamps=range(13)))
    model = loaded("videomae")
    frames = Film(frames=7, processing=AS_IT_IS).prepare(tmp_path / "a.mp4")["video"]
    units = model.encode(video=[frames, str(tmp_path / "a.mp4"), clips(7)[0]])["video"]
    assert off(units[1], units[0]) < NEAR and np.abs(units[2] - units[0]).max() > 1e-3


LAYERS = {"width": 8, "depth": 1, "heads": 2, "hidden": 8}
PIXELS = {"scale": 1.0, "mean": [0] * 3, "std": [1] * 3}
MASKED = {
    "videomae": lambda rngs: PublishedVideo((8, 8), 4, 4, 2, LAYERS, PIXELS, rngs=rngs),
    "xclip": lambda rngs: PublishedXCLIP(8, 4, 4, LAYERS, LAYERS, PIXELS, LAYERS_OF_PROMPTS, rngs=rngs),
}
LAYERS_OF_PROMPTS = {"depth": 1, "heads": 2, "activation": "gelu", "eps": 1e-5}


@pytest.mark.parametrize("name", MASKED)
def test_a_frame_that_is_masked_changes_nothing(name):
    graph, state = nnx.split(MASKED[name](nnx.Rngs(0)))

    @jax.jit
    def encode(x, mask):
        encoder = nnx.merge(graph, state)
        made = encoder(x, mask)
        return made, encoder.prompted(jnp.ones((2, 8)), made) if isinstance(encoder, PublishedXCLIP) else made.pooled

    x, mask = np.random.default_rng(0).normal(size=(2, 4, 8, 8, 3)).astype(np.float32), np.ones((2, 4), bool)
    mask[0, 3], mask[1, 2:] = False, False
    (before, texts), (after, again) = encode(x, mask), encode(jnp.where(mask[:, :, None, None, None], x, np.nan), mask)
    kept = {"videomae": np.repeat([[True, True], [True, False]], 4, axis=1), "xclip": np.repeat(mask, 5, axis=1)}
    assert (before.mask == kept[name]).all()
    assert np.allclose(before.pooled, after.pooled, atol=1e-6) and np.isfinite(after.pooled).all()
    assert np.allclose(texts, again, atol=1e-6)
    whole, other = encode(x, np.ones((2, 4), bool))
    assert not np.allclose(before.pooled, whole.pooled, atol=1e-3) and not np.allclose(texts, other, atol=1e-4)


def test_the_encoder_of_a_checkpoint_from_pretraining_is_read_without_its_decoder(tmp_path):
    folder = copied("videomae", tmp_path)
    arrays = {f"videomae.{key}": x for key, x in load_file(folder / "model.safetensors").items()}
    arrays |= {"decoder.norm.weight": np.ones(4, np.float32), "mask_token": np.ones((1, 1, 4), np.float32)}
    arrays |= {"encoder_to_decoder.weight": np.ones((4, 24), np.float32)}
    save_file(arrays, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["VideoMAEForPreTraining"]}
    (folder / "config.json").write_text(json.dumps(config))
    found = sensorium.load(folder).outputs(video=reference("videomae")["given/video"])
    assert off(found["video/tokens"], reference("videomae")["video/tokens"]) < NEAR
    (folder / "preprocessor_config.json").rename(folder / "video_preprocessor_config.json")
    assert sensorium.load(folder).fields == loaded("videomae").fields
    (folder / "video_preprocessor_config.json").unlink()
    with pytest.raises(BadFile, match=r"lacks preprocessor_config\.json, which says how clips"):
        sensorium.load(folder)


def test_a_classifier_without_mean_pooling_norms_all_and_takes_the_first_token(tmp_path):
    """Such a one has the last norm inside of its encoder, and none of its own."""
    folder = copied("videomae_labels", tmp_path)
    arrays = load_file(folder / "model.safetensors")
    for part in ("weight", "bias"):
        arrays[f"videomae.layernorm.{part}"] = arrays.pop(f"fc_norm.{part}")
    save_file(arrays, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"use_mean_pooling": False}
    (folder / "config.json").write_text(json.dumps(config))
    found = sensorium.load(folder).outputs(video=reference("videomae_labels")["given/video"])
    last = LayerNorm(16, 1e-3)
    last.scale[...], last.bias[...] = (jnp.asarray(arrays[f"videomae.layernorm.{part}"]) for part in ("weight", "bias"))
    states = reference("videomae_labels")["video/layers/1"]
    first = last(jnp.asarray(states))[:, 0]
    expected = first @ arrays["classifier.weight"].T + arrays["classifier.bias"][None]
    assert off(found["video/logits"], np.asarray(expected)) < NEAR


def test_an_r3d_needs_no_more_than_weights_and_two_words(tmp_path):
    """As its documentation says a folder is made of torchvision's state dict."""
    save_file(load_file(RECORDED / "r3d" / "model.safetensors"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "r3d_18"}))
    model = sensorium.load(tmp_path)
    assert model.fields == (Film("video", 16, Processing((128, 171), 2, (112, 112), "torchvision")),)
    assert model.labels == ("LABEL_0", "LABEL_1")
    given = {**model.card.arguments["encoders"]["video"]["pixels"]}
    assert given == {"scale": 1 / 255, "mean": [0.43216, 0.394666, 0.37645], "std": [0.22803, 0.22145, 0.216989]}
    arrays = load_file(RECORDED / "r3d" / "model.safetensors")
    save_file({key: x for key, x in arrays.items() if not key.startswith("layer2.1.")}, tmp_path / "model.safetensors")
    with pytest.raises(BadFile, match="four stages of as many blocks"):
        sensorium.load(tmp_path)


@pytest.mark.parametrize("name", ["videomae_labels", "r3d"])
def test_in_our_own_layout_the_field_and_the_classes_come_back(name, tmp_path):
    loaded(name).save_pretrained(tmp_path, family="sensorium")
    again: Sensorium = sensorium.load(tmp_path)
    assert again.fields == loaded(name).fields and again.labels == loaded(name).labels
    assert again.fingerprint == loaded(name).fingerprint


@pytest.mark.parametrize("key", ["image_processor", "video_processor"])
def test_what_newer_processors_say_of_clips_is_read(key, tmp_path):
    """transformers 5 writes processor_config.json alone."""
    folder = copied("xclip", tmp_path)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({key: said, "processor_class": "XCLIPProcessor"}))
    (folder / "preprocessor_config.json").unlink()
    assert sensorium.load(folder).fingerprint == loaded("xclip").fingerprint
