"""OpenCLIP's own layout: where it counts, how its texts are cleaned, what of it is not known."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from pretrained.test_families import RECORDED, copied, loaded, texts_of
from safetensors.numpy import load_file, save_file

import sensorium
from sensorium.core.errors import BadFile
from sensorium.modalities.text_cleaned import CLEANINGS
from sensorium.pretrained import published
from sensorium.pretrained.hub import WANTED

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


def test_texts_are_cleaned_as_openclip_does_it():
    """Entities, ligatures, quotes, wide forms, escapes, halves of pairs: what its own functions made of them is recorded."""
    cleaned = json.loads((RECORDED / "open_clip" / "cleaned.json").read_text())
    assert len(cleaned) >= 14 and sum(text != made["whitespace"] for text, made in cleaned.items()) >= 9
    for text, made in cleaned.items():
        assert {name: clean(text) for name, clean in CLEANINGS.items()} == made


def test_marks_are_openclip_s_own_and_what_others_have_for_marks_is_text():
    field = texts_of(loaded("open_clip"))
    known = json.loads((RECORDED / "open_clip" / "tokenizer.json").read_text())["model"]["vocab"]
    start, end = known["<|startoftext|>"], known["<|endoftext|>"]
    ids = field.prepare("<end_of_text> cat")["text"].tolist()
    assert ids == [start, end, known["cat</w>"], end, *[0] * (field.length - 4)]
    assert end not in field.prepare("<|endoftext|>")["text"].tolist()[:-1]
    assert field.show(np.asarray(ids)) == "cat"


def test_openclip_s_configuration_counts_where_that_of_transformers_has_no_weights(tmp_path):
    folder = copied("open_clip", tmp_path)
    assert _name(folder) == CONFIG
    (folder / "config.json").write_text('{"architecture": "vit_base_patch16_clip_224"}')  # timm's
    assert _name(folder) == CONFIG and sensorium.load(folder).fingerprint == loaded("open_clip").fingerprint
    (folder / "config.json").write_text('{"model_type": "clip"}')
    assert _name(folder) == CONFIG
    (folder / "model.safetensors").write_bytes(b"")
    assert _name(folder) == "config.json"
    assert published(tmp_path) is None


def _name(folder: Path) -> str:
    said = published(folder)
    assert said is not None
    return said.name


def test_a_repository_in_this_layout_is_downloaded_and_read(monkeypatch):
    asked: dict[str, Any] = {}

    def download(name: str, **said: Any) -> str:
        asked.update(said, name=name)
        return str(RECORDED / "open_clip")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert sensorium.load("laion/CLIP-small", revision="v1").fingerprint == loaded("open_clip").fingerprint
    assert (asked["name"], asked["revision"], asked["allow_patterns"]) == ("laion/CLIP-small", "v1", list(WANTED))
    names = [CONFIG, WEIGHTS, "tokenizer.json", "merges.txt"]
    there = [*names, "open_clip_pytorch_model.bin", "model.fp32-00001-of-00002.safetensors", "onnx/config.json"]
    patterns = {key: asked[key] for key in ("allow_patterns", "ignore_patterns")}
    assert list(huggingface_hub.utils.filter_repo_objects(there, **patterns)) == names


def test_names_with_the_prefix_of_custom_texts_and_older_files_of_pieces_are_read(tmp_path):
    folder = copied("open_clip", tmp_path)
    found = load_file(folder / WEIGHTS)
    ours = ("transformer.", "token_embedding", "positional_embedding", "ln_final", "text_projection")
    save_file({f"text.{key}" if key.startswith(ours) else key: x for key, x in found.items()}, folder / WEIGHTS)
    said = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(said["vocab"]))
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in said["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]))
    assert sensorium.load(folder).fingerprint == loaded("open_clip").fingerprint


def test_a_fused_array_that_does_not_fit_is_told_as_it_lies_in_the_file(tmp_path):
    folder = copied("open_clip", tmp_path)
    weight, bias = (f"visual.transformer.resblocks.1.attn.in_proj_{part}" for part in ("weight", "bias"))
    found = load_file(folder / WEIGHTS)
    found[weight] = found[weight][:-1].copy()
    del found[bias]
    save_file(found, folder / WEIGHTS)
    with pytest.raises(BadFile) as caught:
        sensorium.load(folder)
    assert str(caught.value).count(weight) == str(caught.value).count(bias) == 1
    assert f"missing {bias} [72]" in str(caught.value) and f"{weight}: [71, 24], expected [72, 24]" in str(caught.value)


@pytest.mark.parametrize(
    ("part", "change", "told"),
    [
        ("vision_cfg", {"timm_model_name": "vit_base_patch16_siglip_224"}, "timm_model_name: models of OpenCLIP's own vision"),
        ("vision_cfg", {"layers": [3, 4, 6, 3]}, "layers of a ResNet: models of"),
        ("vision_cfg", {"pool_type": "avg"}, "pool_type is 'avg'; only 'tok'"),
        ("vision_cfg", {"patch_size": [7, 6]}, "patches of 7×6; only squares"),
        ("text_cfg", {"hf_model_name": "xlm-roberta-base"}, "hf_model_name: models of"),
        ("text_cfg", {"embed_cls": True}, "embed_cls: models of"),
        ("text_cfg", {"pool_type": "first"}, "pooled by 'first' with a causal mask"),
        ("text_cfg", {"qk_norm": True}, "qk_norm is True; only False"),
        ("text_cfg", {"tokenizer_kwargs": {"strip_sep_token": True}}, "strip_sep_token of its tokenizer"),
        ("text_cfg", {"act_kwargs": {"approximate": "some"}}, "act_kwargs of .*'some'.*; known are"),
        (None, {"multimodal_cfg": {"width": 8}}, "multimodal_cfg: models of"),
        ("preprocess_cfg", {"resize_mode": "longest"}, "resize_mode 'longest'; known are"),
        ("preprocess_cfg", {"mode": "L"}, "mode is 'L'; only 'RGB'"),
    ],
)
def test_what_is_not_known_is_refused_by_name(part, change, told, tmp_path):
    folder = copied("open_clip", tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    model = config["model_cfg"]
    (config["preprocess_cfg"] if part == "preprocess_cfg" else model[part] if part else model).update(change)
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(BadFile, match=told) as caught:
        sensorium.load(folder)
    assert str(caught.value).startswith(str(folder / CONFIG))


def test_pieces_that_are_missing_or_not_clip_s_are_told_with_what_to_copy(tmp_path):
    folder = copied("open_clip", tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadFile, match=r"lacks tokenizer.json.*Copy tokenizer.json from.*openai/clip-vit-large-patch14"):
        sensorium.load(folder)
    (folder / "tokenizer.json").write_bytes((RECORDED / "bert" / "tokenizer.json").read_bytes())
    with pytest.raises(BadFile, match="not CLIP's pieces"):
        sensorium.load(folder)


def test_transformers_layout_is_refused_as_it_would_read_other_texts(tmp_path):
    with pytest.raises(ValueError, match=r"cleans its texts first \(lower\), as OpenCLIP does and transformers does not"):
        loaded("open_clip").save_pretrained(tmp_path / "wrong", family="clip")
    assert not (tmp_path / "wrong").exists()


def test_only_weights_of_this_layout_are_read_for_it(tmp_path):
    folder = copied("open_clip", tmp_path)
    (folder / WEIGHTS).rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(BadFile, match=r"as a pickle only \(open_clip_pytorch_model.bin\)"):
        sensorium.load(folder)
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(BadFile, match=f"has no {WEIGHTS}"):
        sensorium.load(folder)
