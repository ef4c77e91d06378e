"""What a checkpoint's folder may look like: several files, short floats, and all that can be wrong with it."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import ml_dtypes
import numpy as np
import pytest
from pretrained.test_families import RECORDED, copied, encoder_of, texts_of, tower
from safetensors.numpy import load_file, save_file

import sensorium
from sensorium.core.errors import BadFile, SensoriumError, UnknownName
from sensorium.pretrained.bert import SPECIALS, from_lines
from sensorium.pretrained.tensors import header, tensors

NAME, LAYER = "vit_labels", "vit.encoder.layer.0.intermediate.dense"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path) -> Path:
    return copied(NAME, tmp_path)


def rewritten(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> dict[str, np.ndarray]:
    found = load_file(folder / WEIGHTS)
    change(found)
    save_file(found, folder / WEIGHTS)
    return found


def raw(path: Path, entries: list[tuple[str, str, list[int], bytes]], spoil: Callable[[str], str] = str) -> None:
    """A safetensors file as anybody may write it."""
    at, said = 0, []
    for name, dtype, shape, content in entries:
        said.append(f'"{name}": {json.dumps({"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]})}')
        at += len(content)
    text = spoil("{" + ", ".join(said) + "}").encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(content for *_, content in entries))


def test_shards_with_an_index_are_one_checkpoint(folder):
    found = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(found)
    shards = {f"model-{i + 1:05}-of-00003.safetensors": names[i::3] for i in range(3)}
    for file, keys in shards.items():
        save_file({key: found[key] for key in keys}, folder / file)
    index = {"weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert sensorium.load(folder).fingerprint == sensorium.load(RECORDED / NAME).fingerprint
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(BadFile, match=r"lacks model-00002-of-00003.safetensors"):
        sensorium.load(folder)
    index["weight_map"][names[0]] = "../elsewhere.safetensors"
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    with pytest.raises(BadFile, match="outside of its folder"):
        sensorium.load(folder)


@pytest.mark.parametrize(("short", "code"), [(np.float16, "F16"), (ml_dtypes.bfloat16, "BF16")], ids=["f16", "bf16"])
def test_short_floats_are_read_as_they_are(short, code, folder):
    found = load_file(folder / WEIGHTS)
    raw(folder / WEIGHTS, [(key, code, list(x.shape), x.astype(short).tobytes()) for key, x in found.items()])
    model = sensorium.load(folder).model
    kernel, expected = (
        encoder_of(model, "image").layers[0].up.kernel[...],
        found["vit.encoder.layer.0.intermediate.dense.weight"].T,
    )
    assert kernel.dtype == np.float32
    assert (np.asarray(kernel) == expected.astype(short).astype(np.float32)).all()
    half = sensorium.load(folder, dtype="bfloat16")
    kept = tower(half, "image").layers[0].up.kernel[...]
    assert kept.dtype == ml_dtypes.bfloat16
    assert np.allclose(np.asarray(kept, np.float32), expected, rtol=0.01)
    half.save_pretrained(folder / "half")
    assert {str(tensor.dtype) for tensor in tensors(folder / "half").values()} == {"bfloat16"}
    assert json.loads((folder / "half" / "config.json").read_text())["dtype"] == "bfloat16"


def test_all_that_does_not_fit_is_told_at_once(folder):
    def spoil(found):
        del found["vit.embeddings.cls_token"]
        found["vit.layernorm.weight"] = found["vit.layernorm.weight"][:-1].copy()
        found["vit.layernorm.bias"] = found["vit.layernorm.bias"].astype(np.int32)
        found["vit.encoder.layer.9.output.dense.bias"] = np.zeros(16, np.float32)

    rewritten(folder, spoil)
    with pytest.raises(BadFile) as caught:
        sensorium.load(folder)
    for part in (
        "missing vit.embeddings.cls_token [1, 1, 16]",
        "vit.layernorm.weight: [15], expected [16]",
        "vit.layernorm.bias: int32, expected numbers with a fraction",
        "unknown vit.encoder.layer.9.output.dense.bias [16]",
    ):
        assert part in str(caught.value)
    assert str(caught.value).startswith(str(folder))


GOOD = ("a", "F32", [2], bytes(8))
BAD: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes((RECORDED / NAME / WEIGHTS).read_bytes()[:-3]),
    "not a safetensors file": lambda path: path.write_bytes(b"PK\x03\x04 a pickle within a zip"),
    "there twice": lambda path: raw(path, [GOOD, ("a", "F16", [4], bytes(8))]),
    "cannot tell": lambda path: raw(path, [("a", "F99", [2], bytes(8))]),
    "lie over each other": lambda path: raw(
        path, [GOOD, ("b", "F32", [2], bytes(8))], lambda text: text.replace("[8, 16]", "[4, 12]")
    ),
    "header cannot be read": lambda path: raw(path, [GOOD], lambda text: text[:-1]),
}


@pytest.mark.parametrize("told", sorted(BAD))
def test_a_damaged_file_is_refused_before_anything_is_read(told, tmp_path):
    path = tmp_path / WEIGHTS
    BAD[told](path)
    with pytest.raises(BadFile, match=told):
        header(path)


def test_arrays_that_are_not_aligned_are_read(tmp_path):
    values = np.arange(3, dtype=np.float32)
    raw(tmp_path / WEIGHTS, [("odd", "U8", [1], b"\x07"), ("a", "F32", [3], values.tobytes()), ("none", "F32", [0, 4], b"")])
    found = tensors(tmp_path)
    assert (found["a"].read() == values).all() and found["none"].read().shape == (0, 4)


def test_pickles_are_refused_with_the_reason_and_the_way_out(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    (folder / "optimizer.pt").touch()
    with pytest.raises(
        BadFile, match=r"pytorch_model.bin.*runs whatever code.*\.load\('.*/pytorch_model.bin', .*}, '.*/model.safe"
    ):
        sensorium.load(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "vitt"}, "Did you mean 'vit'.*bert, .*clip, dinov2"),
        ({"architectures": ["ViTForMaskedImageModeling"]}, "ViTModel, ViTForImageClassification are known, not ViTForMasked"),
        ({"num_channels": 1}, "num_channels is 1; only 3"),
        ({"hidden_act": "gloo"}, r"config\.json.*no activation is called 'gloo'"),
        ({"image_size": 24}, "pictures come out at 18×18, where the model is built for 24×24"),
    ],
    ids=["kind", "architecture", "channels", "activation", "size"],
)
def test_a_configuration_that_is_not_known_says_what_is(changes, told, folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(SensoriumError, match=told):
        sensorium.load(folder)


def test_a_folder_without_preprocessing_says_what_is_missing(folder):
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadFile, match=r"lacks preprocessor_config.json"):
        sensorium.load(folder)


def test_older_spellings_are_read(tmp_path):
    """BERT's own files: a prefix, TensorFlow's names, buffers, heads; and vocab.txt alone."""
    folder = copied("bert", tmp_path)
    found = load_file(folder / WEIGHTS)
    old = {
        f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): x
        for key, x in found.items()
    }
    old |= {"bert.embeddings.position_ids": np.arange(24)[None], "cls.predictions.bias": np.zeros(4, np.float32)}
    save_file(old, folder / WEIGHTS)
    known = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in sorted(known, key=known.__getitem__)))
    (folder / "tokenizer.json").unlink()
    new, old_one = sensorium.load(RECORDED / "bert"), sensorium.load(folder)
    text = "Hello, wOrld! naïve 猫 שלום"
    assert (old_one.field("text").prepare(text)["text"] == new.field("text").prepare(text)["text"]).all()
    for one, other in zip(new.parameters(), old_one.parameters(), strict=True):
        assert (one == other).all()
    lines = (folder / "vocab.txt").read_text().removesuffix("\n")
    (folder / "vocab.txt").write_text(lines)
    assert from_lines(folder / "vocab.txt", SPECIALS)["model"]["vocab"] == known, "the last line may have no end"
    save_file(old | {"embeddings.LayerNorm.weight": old["bert.embeddings.LayerNorm.gamma"]}, folder / WEIGHTS)
    with pytest.raises(BadFile, match=r"embeddings\.LayerNorm\.weight: there twice"):
        sensorium.load(folder)


def test_clip_s_tokenizer_is_made_of_its_older_files(tmp_path):
    folder = copied("clip", tmp_path)
    said = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(said["vocab"]))
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in said["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]))
    texts = ["The photo of a cat in Ångström", "it's 12 🙂", ""]
    new, old = (texts_of(sensorium.load(path)).prepare_batch(texts) for path in (RECORDED / "clip", folder))
    assert (new["text"] == old["text"]).all() and (new["text/mask"] == old["text/mask"]).all()


def test_a_run_that_began_as_a_published_model_is_saved_in_either_layout(tmp_path):
    begun = sensorium.load(RECORDED / "clip")
    run = sensorium.Sensorium(begun.model, begun.fields, begun.card)
    run.save_pretrained(tmp_path / "own")
    again = sensorium.load(tmp_path / "own")
    assert again.family is None and again.fingerprint == begun.fingerprint
    again.save_pretrained(tmp_path / "given", family="clip")
    assert sensorium.load(tmp_path / "given").fingerprint == begun.fingerprint
    with pytest.raises(ValueError, match="the form of the family 'siglip'"):
        again.save_pretrained(tmp_path / "wrong", family="siglip")
    assert not (tmp_path / "wrong").exists()
    with pytest.raises(UnknownName, match=r"'clipp'.*Did you mean 'clip'"):
        again.save_pretrained(tmp_path / "wrong", family="clipp")


def test_an_id_that_is_neither_here_nor_in_the_cache_says_what_to_download(monkeypatch, tmp_path):
    with pytest.raises(BadFile, match=r"openai/clip-nowhere: no directory here.*hf download openai/clip-nowhere --revision main"):
        sensorium.load("openai/clip-nowhere", revision="main")
    with pytest.raises(BadFile, match=r"it has no config.json"):
        sensorium.load(tmp_path)


@pytest.mark.parametrize(("before", "name"), [("sentence", "mpnet"), ("clip", "open_clip"), ("open_clip", "clip")])
def test_a_model_that_is_saved_where_another_stood_is_read_again_and_nothing_of_the_other(before, name, tmp_path):
    """Modules of sentence embeddings would pool it otherwise; a config.json would be read instead of open_clip_config.json."""
    folder, model = copytree(RECORDED / before, tmp_path / before), sensorium.load(RECORDED / name)
    (folder / "notes.txt").write_text("mine")
    model.save_pretrained(folder)
    again = sensorium.load(folder)
    assert (again.family, again.fingerprint) == (model.family, model.fingerprint)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("dtype", ["int8", "float64", "brain", ""])
def test_numbers_of_a_type_that_nothing_computes_with_are_refused(dtype, tmp_path):
    """Whole numbers would round every parameter to 0."""
    with pytest.raises(ValueError, match=f"dtype='{dtype}': expected one of float32, bfloat16, float16"):
        sensorium.load(RECORDED / NAME, dtype=dtype)
    with pytest.raises(ValueError, match="expected one of float32"):
        sensorium.load(RECORDED / NAME).save_pretrained(tmp_path / "out", dtype=dtype)
    assert not (tmp_path / "out").exists()


def test_what_reads_texts_is_missed_by_name(tmp_path):
    folder = copied("siglip", tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadFile, match=r"siglip: lacks tokenizer.json \(a spiece.model alone is not read\): copy it"):
        sensorium.load(folder)


def test_tokens_that_the_model_has_no_row_for_are_refused(tmp_path):
    """As of a tokenizer that was added to without its model; they would be taken for the last one."""
    folder = copied("bert", tmp_path)
    said = json.loads((folder / "tokenizer.json").read_text())
    said["added_tokens"].append(said["added_tokens"][-1] | {"id": 89, "content": "<new>"})
    (folder / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(BadFile, match=r"tokenizer.json: '<new>' has the id 89, where the model has 89 of them"):
        sensorium.load(folder)
