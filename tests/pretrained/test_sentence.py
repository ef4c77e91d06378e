"""MPNet and sentence embeddings: distances, older files, modules that are known and others."""

import json
from pathlib import Path

import numpy as np
import pytest
from pretrained.test_families import NEAR, RECORDED, TEXTS, copied, loaded, off, reference, texts_of
from safetensors.numpy import load_file, save_file

import sensorium
from sensorium.core.errors import BadFile
from sensorium.nn.relative import steps

DENSE = "2_Dense/model.safetensors"


def sentence(folder: Path) -> Path:
    """The recorded folder of sentence-transformers, with the folders in it."""
    for path in (RECORDED / "sentence").rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(RECORDED / "sentence")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


def changed(path: Path, **said: object) -> None:
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(found | said))


def test_distances_grow_by_ones_and_then_by_powers():
    """As T5 and MPNet have them; PyTorch's own gives the same for all of 514 tokens."""
    found = steps(200)
    assert found[150, 150:160].tolist() == [0, 17, 18, 19, 20, 21, 22, 23, 24, 24] and found[9, :10].tolist() == [
        8,
        8,
        *range(7, -1, -1),
    ]
    assert [int(found[0, n]) for n in (11, 12, 15, 16, 22, 23, 31, 32, 63, 64, 90, 91, 127, 128, 199)] == [
        *(24, 25, 25, 26, 26, 27, 27, 28, 29, 30, 30, 31, 31, 31, 31)
    ]


def test_raw_texts_come_to_what_sentence_transformers_gives_with_a_layer_and_length_one():
    units = loaded("sentence").encode(text=list(TEXTS))["text"]
    assert units.shape[1] == 10 and off(units, reference("sentence")["text/pooled"]) < NEAR
    assert np.allclose(np.linalg.norm(reference("sentence")["text/pooled"], axis=1), 1, atol=1e-6)


def test_the_modules_are_written_as_they_were_read_with_the_weights_of_the_layer(tmp_path):
    loaded("sentence").save_pretrained(tmp_path)
    before, after = (load_file(path / DENSE) for path in (RECORDED / "sentence", tmp_path))
    assert before.keys() == after.keys() == {"linear.weight", "linear.bias"}
    assert all((before[key] == after[key]).all() for key in before)
    kinds = [module["type"].rpartition(".")[2] for module in json.loads((tmp_path / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]
    found = load_file(tmp_path / DENSE)
    save_file({"linear.weight": found["linear.weight"]}, tmp_path / DENSE)
    with pytest.raises(BadFile, match=r"missing 2_Dense/linear.bias \[10\]"):
        sensorium.load(tmp_path)


def test_mpnet_s_older_files_are_read(tmp_path):
    folder = copied("mpnet", tmp_path)
    found = {f"mpnet.{key}": x for key, x in load_file(folder / "model.safetensors").items() if "pooler" not in key}
    save_file(found | {"lm_head.bias": np.zeros(4, np.float32)}, folder / "model.safetensors")
    changed(folder / "config.json", architectures=["MPNetForMaskedLM"])
    known = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in sorted(known, key=known.__getitem__)))
    (folder / "tokenizer.json").unlink()
    old, new = sensorium.load(folder), loaded("mpnet")
    texts = ["Hello, wOrld! naïve 猫 <mask>", "the </s> cat", ""]
    assert (texts_of(old).prepare_batch(texts)["text"] == texts_of(new).prepare_batch(texts)["text"]).all()
    assert old.card.arguments["encoders"]["text"]["form"] == "bert_first"
    given = {key: x for key, x in texts_of(old).prepare_batch(texts).items() if not key.endswith("id")}
    assert off(old.outputs(**given)["text/tokens"], new.outputs(**given)["text/tokens"]) == 0


@pytest.mark.parametrize(
    ("file", "said", "told"),
    [
        (
            "2_Dense/config.json",
            {"activation_function": "torch.nn.modules.activation.GELU"},
            "a layer with a bias, and 'torch.nn",
        ),
        ("2_Dense/config.json", {"bias": False}, "a layer with no bias"),
        ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "pools by pooling_mode_weightedmean_tokens; known is one of"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case is True; only False"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "default_prompt_name is 'query'"),
        ("config.json", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets is 64; only 32"),
    ],
)
def test_modules_that_are_not_known_are_refused(file, said, told, tmp_path):
    changed(sentence(tmp_path) / file, **said)
    with pytest.raises(BadFile, match=told):
        sensorium.load(tmp_path)


def test_a_bert_of_many_languages_is_given_back_with_a_tokenizer_that_reads_its_pieces(tmp_path):
    """As paraphrase-multilingual-MiniLM-L12-v2 has it: XLM-R's pieces, of which BertTokenizer would make word pieces."""
    folder = copied("bert", tmp_path)
    said = json.loads((folder / "tokenizer.json").read_text())
    pieces = sorted(said["model"]["vocab"], key=said["model"]["vocab"].__getitem__)
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    said |= {"normalizer": None, "pre_tokenizer": space, "decoder": space}
    said["model"] = {"type": "Unigram", "unk_id": 1, "vocab": [[piece, -1.0] for piece in pieces], "byte_fallback": False}
    (folder / "tokenizer.json").write_text(json.dumps(said))
    for path, kind in ((folder, "PreTrainedTokenizerFast"), (RECORDED / "bert", "BertTokenizer")):
        sensorium.load(path).save_pretrained(tmp_path / kind)
        assert json.loads((tmp_path / kind / "tokenizer_config.json").read_text())["tokenizer_class"] == kind


@pytest.mark.parametrize("name", ["siglip", "naflex"])
def test_texts_are_given_back_without_a_mask_where_the_model_knows_none(name, tmp_path):
    """transformers hands on what its tokenizer makes, and with a mask the vectors of texts are others."""
    loaded(name).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_input_names"] == ["input_ids"]
