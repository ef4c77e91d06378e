"""What a user holds: vectors that do not mind their company, inputs of every form, and a directory that keeps all of it."""

import dataclasses
import json
from collections.abc import Iterator
from string import ascii_lowercase

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image as Pillow
from safetensors.numpy import load_file, save_file

from sensorium import Sensorium, load
from sensorium.core.errors import BadFile, UnknownName
from sensorium.modalities import Audio, Image, Text
from sensorium.modalities.audio import wav_bytes
from sensorium.models import Space
from sensorium.recipes.towers import space

FIELDS = (
    Image(size=8),
    Text(words=("red", "blue"), alphabet=ascii_lowercase, length=6),
    Audio(rate=2000, seconds=0.5),
)
DIALS = {
    "convnet": {"widths": [6, 8]},
    "text_transformer": {"width": 8, "heads": 2, "window": 3},
    "audio_convnet": {"widths": [4, 6], "bins": 16, "patch": [5, 4]},
}
CARD = space(FIELDS, 12, DIALS)


@pytest.fixture(scope="module")
def model() -> Sensorium:
    return Sensorium(CARD.build(0), FIELDS, CARD)


@pytest.fixture(scope="module")
def raws() -> dict[str, list]:
    """Seventy things of each kind."""
    draw = np.random.default_rng(0)
    pictures = list(draw.integers(0, 256, (70, 8, 8, 3), np.uint8))
    texts = ["".join(draw.choice(list("abc "), 5)) + "x" for _ in range(70)]
    return {"image": pictures, "text": texts, "audio": [(wave, 2000) for wave in draw.uniform(-1, 1, (70, 1000))]}


@pytest.fixture(scope="module")
def whole(model, raws) -> dict[str, np.ndarray]:
    return model.encode(**raws)


def bits(state: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: x.tobytes() for name, x in state.items()}


def saved(model: Sensorium, path) -> dict[str, np.ndarray]:
    model.save_pretrained(path)
    return load_file(path / "model.safetensors")


@pytest.mark.parametrize("size", [1, 3, 8, 9, 70])
def test_a_thing_has_its_vector_whatever_is_encoded_beside_it(model, raws, whole, size):
    order = np.random.default_rng(size).integers(0, 70, size)
    order[-1] = order[0]  # one thing twice
    some = model.encode(**{name: [things[i] for i in order] for name, things in raws.items()})
    for name, vectors in some.items():
        assert vectors.shape == (size, 12) and vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, whole[name][order], atol=1e-5)
    for name, vectors in whole.items():
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert len(np.unique(vectors.round(4), axis=0)) > 40, name


def test_no_thing_has_no_vector_and_one_needs_no_list(model, raws, whole):
    assert all(vectors.shape == (0, 12) for vectors in model.encode(image=[], text=[], audio=[]).values())
    one = model.encode(**{name: things[4] for name, things in raws.items()})
    for name, vectors in one.items():
        np.testing.assert_allclose(vectors, whole[name][4:5], atol=1e-5)
    assert model.encode() == {}


def test_every_form_of_a_picture_is_the_same_picture(model, raws, tmp_path):
    path = tmp_path / "a.png"
    Pillow.fromarray(raws["image"][0]).save(path)
    forms = [raws["image"][0], str(path), path, path.read_bytes(), Pillow.open(path), raws["image"][0] / 255]
    vectors = model.encode(image=forms)["image"]
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], len(forms), axis=0), atol=1e-6)


def test_every_form_of_a_sound_is_the_same_sound(model, tmp_path):
    wave = (np.random.default_rng(1).integers(-9000, 9000, 1000) / 32768).astype(np.float32)
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(wave, 2000))
    forms = [(wave, 2000), (np.stack([wave, wave], 1), 2000), ((wave * 32768).astype(np.int16), 2000), str(path), path]
    vectors = model.encode(audio=[*forms, path.read_bytes()])["audio"]
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], 6, axis=0), atol=1e-6)


def test_three_programs_a_field_and_never_again(raws):
    model = Sensorium(CARD.build(0), FIELDS, CARD)
    for count, name in enumerate(raws, 1):
        for size in (1, 2, 3, 4, 5, 6, 7, 8, 64, 1, 9, 70, 5):
            model.encode(**{name: raws[name][:size]})
        assert model.traces <= 3 * count, name
    traces = model.traces
    model.encode(**{name: things[:33] for name, things in raws.items()})
    assert model.traces == traces


def test_similarity_is_the_cosine_of_every_two(model, whole):
    got = model.similarity(whole["image"][:5], whole["text"][:7])
    expected = [[float(np.dot(a, b)) for b in whole["text"][:7]] for a in whole["image"][:5]]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(np.diag(model.similarity(whole["audio"], whole["audio"])), 1, atol=1e-5)


def test_its_fields_are_known_by_name(model):
    assert model.modalities == ("image", "text", "audio")
    assert model.supports("text") and not model.supports("video") and model.field("audio") is FIELDS[2]
    with pytest.raises(UnknownName, match=r"no field 'imag'\. Did you mean 'image'\? Known: audio, image, text"):
        model.encode(imag=["x.png"])


def test_saved_and_loaded_it_gives_the_same_bits(model, raws, whole, tmp_path):
    model.save_pretrained(tmp_path / "new" / "directory")
    again = load(str(tmp_path / "new" / "directory"))
    assert again.fields == FIELDS and again.fingerprint == model.fingerprint
    for name, vectors in again.encode(**raws).items():
        np.testing.assert_array_equal(vectors, whole[name])
    assert bits(saved(again, tmp_path / "b")) == bits(saved(model, tmp_path / "a"))
    assert (tmp_path / "a/config.json").read_text() == (tmp_path / "b/config.json").read_text()


def changed(model: Sensorium) -> Iterator[Sensorium]:
    """Models that give other vectors, each for another reason."""
    yield Sensorium(CARD.build(1), FIELDS, CARD)
    other = CARD.build(0)
    assert isinstance(other, Space)
    projection = other.projections["image"]
    assert isinstance(projection, nnx.Linear)
    kernel = projection.kernel
    kernel[...] = kernel[...].at[0, 0].add(1e-6)
    yield Sensorium(other, FIELDS, CARD)
    for i, change in enumerate(({"name": "picture"}, {"words": ("blue", "red")}, {"rate": 1000, "seconds": 1.0})):
        fields = list(FIELDS)
        fields[i] = dataclasses.replace(fields[i], **change)
        yield Sensorium(model.model, fields, CARD)


def test_the_fingerprint_is_of_the_weights_and_of_what_is_done_before_them(model):
    same = Sensorium(CARD.build(0), FIELDS, CARD)
    prints = [model.fingerprint, *(other.fingerprint for other in changed(model))]
    assert len(set(prints)) == len(prints) == 6 and same.fingerprint == model.fingerprint


def test_weights_that_do_not_fit_are_listed_each_by_name(model, tmp_path):
    state = saved(model, tmp_path)
    lost, cut, half, *_ = sorted(state)
    state["surplus.kernel"] = state.pop(lost)
    state[cut] = state[cut][..., :-1].copy()
    state[half] = state[half].astype(np.float16)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(BadFile) as caught:
        load(tmp_path)
    told = str(caught.value)
    assert told.startswith(str(tmp_path / "model.safetensors")) and "config.json" in told
    assert f"missing {lost}" in told and "unknown surplus.kernel" in told
    assert f"{cut}: float32{list(state[cut].shape)}, expected float32" in told and f"{half}: float16" in told


def test_what_is_no_model_is_told(model, tmp_path):
    def told(path) -> str:
        with pytest.raises(BadFile) as caught:
            load(path)
        return str(caught.value)

    assert "it is no directory" in told(tmp_path / "absent")
    assert "it has no config.json" in told(tmp_path)
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-100])
    assert "model.safetensors: cannot be read" in told(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert "model.safetensors: cannot be read" in told(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "config.json: not JSON" in told(tmp_path)
    (tmp_path / "config.json").write_text('{"library_name": "other"}')
    assert "not a model of Sensorium (its library_name is not 'sensorium')" in told(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"builder": None},
        {"fields": None},
        {"fields": [{"kind": "image", "sizes": 8}]},
        {"builder": "spice"},
        {"arguments": {"width": 3}},
        {"fields": 5},
        {"fields": ["image"]},
    ],
)
def test_a_configuration_that_makes_no_model_is_told(model, tmp_path, change):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    with pytest.raises(BadFile, match=r"config\.json: "):
        load(tmp_path)


def test_a_modality_that_is_not_known_here_is_named_with_what_to_do(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["fields"][0]["kind"] = "smell"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownName, match=r"its modality 'smell' is not one of the house\. Known: audio, .* --use FILE\.py"):
        load(tmp_path)


def test_parameters_are_all_of_them(model, tmp_path):
    assert sum(x.size for x in model.parameters()) == sum(x.size for x in saved(model, tmp_path).values())
    assert all(isinstance(x, jax.Array) for x in model.parameters())
