"""BERT (Devlin et al. 2019), and sentence embeddings made of it (Reimers & Gurevych 2019) as sentence-transformers has them."""

from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.text_pieces import read
from sensorium.pretrained.clip import layers, layers_said
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, the
from sensorium.pretrained.preprocess import TOKENS, TOKENS_CONFIG, loads, text_field, text_files, tokenizer_of
from sensorium.pretrained.rules import Names, Rule, linear, norm
from sensorium.pretrained.vit import layer_rules

DEFAULTS: Json = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
DEFAULTS |= {"hidden_act": "gelu", "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
MODULES, POOLING, LENGTH = "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"
POOLINGS = {
    "pooling_mode_cls_token": "bert_first",
    "pooling_mode_mean_tokens": "bert_mean",
    "pooling_mode_max_tokens": "bert_maximum",
}
PARTS = {part: f"attention.self.{part}" for part in ("query", "key", "value")}
PARTS |= {"out": "attention.output.dense", "norm_attention": "attention.output.LayerNorm"}
PARTS |= {"up": "intermediate.dense", "down": "output.dense", "norm_perceptron": "output.LayerNorm"}
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def describe(folder: Folder) -> Described:
    said = DEFAULTS | {key: value for key, value in folder.config.items() if value is not None}
    checked(folder.where, said, is_decoder=False, position_embedding_type="absolute", add_cross_attention=False)
    pooling = sentence_pooling(folder.path)
    if pooling is None:
        pooling = "bert" if folder.holds("pooler.dense.weight", "bert.pooler.dense.weight") else "bert_first"
    most = (folder.json(LENGTH) or {}).get("max_seq_length") or said["max_position_embeddings"]
    texts = text_field(folder, min(most, said["max_position_embeddings"]), "[PAD]", tokenizer(folder))
    text = {
        **{"encoder": "published_text", "form": pooling, "vocabulary": said["vocab_size"]},
        **{"length": said["max_position_embeddings"], "types": said["type_vocab_size"]},
        "layers": layers(said) | {"norm_first": False},
    }
    return Described({"encoders": {"text": text}, "width": said["hidden_size"], "bare": ["text"]}, (texts,))


def sentence_pooling(path: Path) -> str | None:
    """The form that the modules of sentence-transformers ask for; None where the folder has none. `BadFile` for others."""
    if not (path / MODULES).is_file():
        return None
    kinds = [str(module["type"]).rpartition(".")[2] for module in read_json(path / MODULES)]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise BadFile(f"{path / MODULES}: modules {', '.join(kinds)}; known are Transformer, Pooling and, after them, Normalize")
    said = read_json(path / POOLING)
    asked = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if "pooling_mode" in said:  # newer files name it
        asked = [f"pooling_mode_{said['pooling_mode']}" + ("_token" if said["pooling_mode"] == "cls" else "_tokens")]
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise BadFile(f"{path / POOLING}: pools by {', '.join(asked) or 'nothing'}; known is one of {', '.join(POOLINGS)}")
    return POOLINGS[asked[0]]


def tokenizer(folder: Folder) -> Json:
    """The tokenizer.json, or one made of vocab.txt; what tokenizer_config.json says of case and accents counts."""
    config = folder.json(TOKENS_CONFIG) or {}
    said = loads(read(folder.path / TOKENS)) if (folder.path / TOKENS).is_file() else from_lines(folder.path / "vocab.txt")
    normal = said.get("normalizer") or {}
    if normal.get("type") == "BertNormalizer":
        names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
        said["normalizer"] = normal | {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    return said


def from_lines(path: Path) -> Json:
    """The tokenizer.json of a vocab.txt, a piece a line (Devlin et al. 2019: WordPiece, lower case, accents taken off)."""
    if not path.is_file():
        raise BadFile(f"{path.parent}: has neither {TOKENS} nor {path.name}: copy one of them from the model's repository")
    known = {piece.rstrip("\n"): i for i, piece in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1])}
    if lacking := [token for token in SPECIALS if token not in known]:
        raise BadFile(f"{path}: lacks {', '.join(lacking)}")
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    mark = {token: {"SpecialToken": {"id": token, "type_id": 0}} for token in ("[CLS]", "[SEP]")}
    single: list[Any] = [mark["[CLS]"], {"Sequence": {"id": "A", "type_id": 0}}, mark["[SEP]"]]
    return {
        **{"version": "1.0", "truncation": None, "padding": None},
        "added_tokens": [{"id": known[token], "content": token, **kinds} for token in SPECIALS],
        "normalizer": {
            **{"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None},
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            **{"type": "TemplateProcessing", "single": single, "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}]},
            "special_tokens": {token: {"id": token, "ids": [known[token]], "tokens": [token]} for token in mark},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            **{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"},
            **{"max_input_chars_per_word": 100, "vocab": known},
        },
    }


def names(arguments: Json) -> Names:
    text = "encoders.text"
    rules = [
        *layer_rules(text, "", PARTS),
        Rule(f"{text}.table", "embeddings.word_embeddings.weight"),
        Rule(f"{text}.positions", "embeddings.position_embeddings.weight"),
        Rule(f"{text}.types", "embeddings.token_type_embeddings.weight"),
        *norm(f"{text}.norm_before", "embeddings.LayerNorm"),
        *linear(f"{text}.dense", "pooler.dense"),
    ]
    idle = ["cls.*", "embeddings.position_ids", "embeddings.token_type_ids"]
    return Names(
        rules, {"log_scale": 0.0}, idle if arguments["encoders"]["text"]["form"] == "bert" else [*idle, "pooler.*"], plain
    )


def plain(name: str) -> str:
    """Older files have a prefix, and call the parameters of norms as TensorFlow did."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    text = arguments["encoders"]["text"]
    texts = the(fields, Text)
    normal = tokenizer_of(texts).get("normalizer") or {}
    more = {"do_lower_case": normal["lowercase"], "strip_accents": normal["strip_accents"]} if "lowercase" in normal else {}
    config = {
        **{"architectures": ["BertModel"], "model_type": "bert", "vocab_size": text["vocabulary"]},
        **{"max_position_embeddings": text["length"], "type_vocab_size": text["types"], **layers_said(text["layers"])},
    }
    return {"config.json": config, **text_files(texts, "BertTokenizer", **more), **_sentence_files(text, texts)}


def _sentence_files(text: Json, field: Text) -> dict[str, Any]:
    modes = [mode for mode, form in POOLINGS.items() if form == text["form"]]
    if not modes:
        return {}
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    pooling = {"word_embedding_dimension": text["layers"]["width"], **{mode: mode in modes for mode in POOLINGS}}
    return {MODULES: modules, POOLING: pooling, LENGTH: {"max_seq_length": field.length, "do_lower_case": False}}


BERT = Family(
    name="bert",
    types=("bert",),
    architectures=("BertModel", "BertForMaskedLM", "BertForPreTraining"),
    examples=(
        Example("google-bert/bert-base-uncased", 109.5, "Apache-2.0"),
        Example("sentence-transformers/all-MiniLM-L6-v2", 22.7, "Apache-2.0"),
    ),
    describe=describe,
    names=names,
    files=files,
)
