"""What is given back: cards, shards, other types, and what goes to the Hub."""

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard, ModelCardData
from huggingface_hub.hf_api import RepoUrl
from pretrained.test_families import RECORDED, loaded
from safetensors.numpy import load_file

import sensorium
from sensorium.core.errors import BadFile
from sensorium.pretrained.folder import write_folder
from sensorium.pretrained.give_back import NotPublished
from sensorium.pretrained.model_card import MARK
from sensorium.pretrained.shards import remove_weights, size_of
from sensorium.pretrained.tensors import tensors
from sensorium.training import Card

METRICS = {"text->image/recall@1": 0.25, "text->image/recall@1/chance": 0.1, "text->image/recall@5": 0.75}
METRICS |= {"text->image/gallery": 10, "text->image/queries": 20, "text->image/median_rank": 3.0}


def card(folder: Path) -> tuple[ModelCardData, str]:
    """What stands in front of a card, as the Hub reads it, and its text."""
    made = ModelCard.load(folder / "README.md")
    assert isinstance(made.data, ModelCardData)
    return made.data, made.text


def test_a_card_tells_licence_base_data_and_metrics(tmp_path):
    source = tmp_path / "their-model"
    shutil.copytree(RECORDED / "clip", source)
    front = "---\nlicense: other\nlicense_name: ours\nlicense_link: https://x.org\n---\n# Theirs"
    (source / "README.md").write_text(front)
    model = sensorium.load(source)
    run = {
        "recipe": "folder",
        "arguments": {"path": "/home/someone/holiday", "steps": 40, "init": "openai/clip-vit-base-patch32"},
    }
    for folder in (source, tmp_path / "mine"):
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(json.dumps(run))
        (folder / "metrics.json").write_text(json.dumps(METRICS))
        model.save_pretrained(folder)
    assert (source / "README.md").read_text() == front, "somebody else wrote it"
    with pytest.warns(UserWarning, match="somebody else wrote stays as it is, without the licence 'mit'"):
        model.save_card(source, licence="mit")
    front, text = card(tmp_path / "mine")
    assert (front.license, front.license_name, front.license_link) == ("other", "ours", "https://x.org")
    assert front.library_name == "transformers" and front.pipeline_tag == "zero-shot-image-classification"
    assert front.base_model == "openai/clip-vit-base-patch32" and {"sensorium", "clip"} <= set(front.tags or [])
    assert [(one.metric_name, one.metric_value) for one in front.eval_results or []] == [
        ("text->image recall@1", 0.25),
        ("text->image recall@5", 0.75),
    ]
    assert "| text->image | 0.250 | 0.750 | 10 | 0.100 |" in text
    assert "`holiday`" in text and "/home/someone" not in text and 'sensorium.load("mine")' in text
    again = sensorium.load(tmp_path / "mine")
    again.save_pretrained(tmp_path / "mine", licence="mit")
    assert card(tmp_path / "mine")[0].license == "mit", "a card of ours is written anew"
    assert sensorium.load(tmp_path / "mine").origin.licence.id == "mit"


def test_a_model_of_ours_says_so_and_a_run_has_the_licence_of_what_it_began_with(tmp_path):
    model = loaded("vit")
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"recipe": "folder", "arguments": {"init": str(base)}}))
    model.save_pretrained(tmp_path / "run", "sensorium")
    front, text = card(tmp_path / "run")
    assert (front.library_name, front.license, front.base_model) == ("sensorium", "apache-2.0", None)
    assert front.pipeline_tag == "image-feature-extraction" and "transformers" not in text
    assert sensorium.load(tmp_path / "run").fingerprint == model.fingerprint


@pytest.mark.parametrize(
    ("name", "use"), [("whisper", "s.transcribe("), ("blip", "s.caption("), ("blip_vqa", "s.ask("), ("clap", "s.encode(audio=")]
)
def test_a_card_shows_what_the_model_is_for(name, use, tmp_path):
    loaded(name).save_card(tmp_path)
    assert use in card(tmp_path)[1]


def test_weights_in_parts_are_the_same_checkpoint_and_old_parts_go(tmp_path):
    model = loaded("clip")
    model.save_pretrained(tmp_path, shard_size="50kB")
    parts = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(parts) > 2 and parts[0] == f"model-00001-of-{len(parts):05}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    whole = load_file(RECORDED / "clip" / "model.safetensors")
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in whole.values())
    held = {name: load_file(tmp_path / name) for name in parts}
    assert {key: name for name, found in held.items() for key in found} == index["weight_map"]
    assert all(sum(x.nbytes for x in found.values()) <= 50_000 or len(found) == 1 for found in held.values())
    assert sensorium.load(tmp_path).fingerprint == model.fingerprint
    model.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    model.save_pretrained(tmp_path, shard_size=60_000)
    assert not (tmp_path / "model.safetensors").exists() and sensorium.load(tmp_path).fingerprint == model.fingerprint
    model.save_pretrained(tmp_path, family="sensorium")
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert sensorium.load(tmp_path).family is None and sensorium.load(tmp_path).fingerprint == model.fingerprint


def test_sizes_are_read_as_people_write_them():
    assert [size_of(text) for text in (7, "5GB", "200 MB", "2GiB", "1.5kb")] == [7, 5 * 10**9, 2 * 10**8, 2**31, 1500]
    for odd in ("", "0", "-1MB", "5 GBs", "big"):
        with pytest.raises(ValueError, match="expected a number of bytes"):
            size_of(odd)


def test_numbers_are_written_in_another_type(tmp_path):
    loaded("clip").save_pretrained(tmp_path, dtype="bfloat16")
    theirs = load_file(RECORDED / "clip" / "model.safetensors")
    for key, tensor in tensors(tmp_path).items():
        assert tensor.dtype == ml_dtypes.bfloat16 and (tensor.read() == theirs[key].astype(ml_dtypes.bfloat16)).all(), key
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    with pytest.raises(ValueError, match="one file of float32"):
        loaded("clip").save_pretrained(tmp_path / "ours", "sensorium", dtype="bfloat16")
    loaded("clip").save_pretrained(tmp_path / "ours", "sensorium")
    with pytest.raises(ValueError, match="own layout is of float32; leave dtype out"):
        sensorium.load(tmp_path / "ours", dtype="bfloat16")


@pytest.mark.parametrize(("name", "family"), [("siglip", "clip"), ("clip", "siglip"), ("vit", "clip"), ("vit", "dinov2")])
def test_a_model_of_another_form_is_not_written(name, family, tmp_path):
    with pytest.raises(ValueError, match=f"not of the form of the family '{family}'"):
        loaded(name).save_pretrained(tmp_path / "out", family)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def sent(monkeypatch) -> dict:
    """What reaches the network: the arguments of the two calls that a push makes, and the files of its commit."""
    seen: dict = {"theirs": None}

    def create(api, repo_id, **how):
        seen["create"] = (repo_id, api.token, how)
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload(api, *, repo_id, folder_path, **how):
        ignored = how.get("ignore_patterns") or []
        seen["files"] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir() if path.name not in ignored}
        seen["upload"] = (repo_id, how)
        return f"https://huggingface.co/{repo_id}/commit/1"

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    monkeypatch.setattr(HfApi, "file_exists", lambda api, repo_id, filename, **how: seen["theirs"] is not None)
    monkeypatch.setattr(HfApi, "hf_hub_download", lambda api, repo_id, filename, **how: str(seen["theirs"]))
    return seen


def test_what_is_pushed_is_what_is_saved_under_its_new_name(sent, tmp_path):
    model = loaded("clip")
    url = model.push_to_hub("me/mine", licence="mit", private=True, token="hf_x", branch="dev", commit_message="First")
    assert url == "https://huggingface.co/me/mine/commit/1"
    assert sent["create"][:2] == ("me/mine", "hf_x") and sent["create"][2] == {"private": True, "exist_ok": True}
    repository, how = sent["upload"]
    assert repository == "me/mine" and (how["commit_message"], how["revision"], how["repo_type"]) == ("First", "dev", "model")
    model.save_pretrained(tmp_path / "mine", licence="mit")
    saved = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    pushed = sent["files"].pop("README.md").decode()
    del saved["README.md"]
    assert sent["files"] == saved and {"config.json", "model.safetensors", "tokenizer.json"} <= saved.keys()
    assert 'sensorium.load("me/mine")' in pushed and "\n# me/mine\n" in pushed and "license: mit" in pushed


def test_what_open_clip_is_pointed_to_is_the_repository(sent, tmp_path):
    loaded("open_clip_free").push_to_hub("me/mine")
    said = json.loads(sent["files"]["open_clip_config.json"])
    assert said["model_cfg"]["text_cfg"]["hf_tokenizer_name"] == "me/mine"
    assert '"hf-hub:me/mine"' in sent["files"]["README.md"].decode()


def test_an_index_takes_nothing_with_it_but_weights(tmp_path):
    places = {"a": "old-00001-of-00001.safetensors", "b": "notes.txt", "c": "../old.safetensors"}
    for name in places.values():
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    for weights, left in ((places, False), (None, True)):
        (tmp_path / "in" / places["a"]).touch()
        (tmp_path / "in" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
        remove_weights(tmp_path / "in")
        assert [(tmp_path / "in" / name).exists() for name in places.values()] == [left, True, True]


def test_a_form_that_open_clip_has_not_is_told(tmp_path):
    model = loaded("open_clip")
    arguments = json.loads(json.dumps(dict(model.card.arguments)))
    arguments["encoders"]["text"]["form"] = "bert_mean"
    card = Card("space", arguments)
    with pytest.raises(ValueError, match="OpenCLIP pools texts in the forms clip_openai, clip, siglip, not 'bert_mean'"):
        write_folder(tmp_path, model.model, card, model.fields, "open_clip")


def test_a_card_on_the_hub_that_somebody_else_wrote_stays(sent, tmp_path):
    sent["theirs"] = tmp_path / "README.md"
    for text, replaced in (("# Theirs", False), (f"# Ours\n{MARK}", True)):
        sent["theirs"].write_text(text)
        loaded("vit_labels").push_to_hub("me/mine")
        assert ("README.md" in sent["files"]) is replaced


def test_a_push_without_a_network_says_what_it_takes():
    with pytest.raises(NotPublished, match=r"me/mine: not published .*HF_HUB_OFFLINE.*hf auth login"):
        loaded("vit_labels").push_to_hub("me/mine")  # the tests forbid the network


def test_configurations_that_make_no_sense_are_told(tmp_path):
    cases = [
        ("config.json", ("vision_config", "num_hidden_layers"), 10**7, "10000000 layers, where the weights are 94 arrays"),
        ("config.json", ("vision_config", "hidden_size"), 0, "describes no model of the family clip"),
        ("config.json", ("vision_config", "patch_size"), -1, "patch -1"),
        ("config.json", ("vision_config", "layer_norm_eps"), "a", "an epsilon of 'a'"),
        ("config.json", ("text_config",), [1], "describes no model of the family clip"),
        ("preprocessor_config.json", ("image_mean",), [0.5], "expected three numbers"),
        ("tokenizer_config.json", ("padding_side",), "middle", "it has no 'middle'"),
    ]
    for i, (file, keys, value, told) in enumerate(cases):
        folder = tmp_path / str(i)
        shutil.copytree(RECORDED / "clip", folder)
        said = json.loads((folder / file).read_text())
        inner = said
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / file).write_text(json.dumps(said))
        with pytest.raises(BadFile, match=told) as raised:
            sensorium.load(folder)
        assert str(folder) in str(raised.value)
    (tmp_path / "0" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605\n")
    with pytest.raises(BadFile, match="git lfs pull"):
        sensorium.load(tmp_path / "0")


def test_arrays_are_turned_and_cast_on_their_way_as_numpy_does_it():
    theirs = load_file(RECORDED / "clip" / "model.safetensors")
    for dtype in ("float32", "bfloat16"):
        state = {key: np.asarray(x) for key, x in _arrays(sensorium.load(RECORDED / "clip", dtype=dtype)).items()}
        kernel, theirs_kernel = state["projections.text.kernel"], theirs["text_projection.weight"].T.astype(dtype)
        assert kernel.dtype == theirs_kernel.dtype and (kernel == theirs_kernel).all()


def _arrays(model: sensorium.Sensorium) -> dict[str, np.ndarray]:
    from sensorium.training.weights import arrays

    return arrays(model.model)
