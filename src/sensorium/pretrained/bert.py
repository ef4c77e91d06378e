"""BERT (Devlin et al. 2019), and sentence embeddings made of it (see `sentence`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.text_pieces import read
from sensorium.pretrained.clip import layers, layers_said
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.preprocess import TOKENS, TOKENS_CONFIG, loads, text_field, text_files, tokenizer_of
from sensorium.pretrained.rules import Names, Rule, linear, norm
from sensorium.pretrained.sentence import DENSE, dense_rules, longest, sentence, sentence_files
from sensorium.pretrained.vit import layer_rules

DEFAULTS: Json = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
DEFAULTS |= {"hidden_act": "gelu", "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
PARTS = {part: f"attention.self.{part}" for part in ("query", "key", "value")}
PARTS |= {"out": "attention.output.dense", "norm_attention": "attention.output.LayerNorm"}
PARTS |= {"up": "intermediate.dense", "down": "output.dense", "norm_perceptron": "output.LayerNorm"}
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""What fills up, what is unknown, what stands before a text and behind it, and a gap."""


def describe(folder: Folder) -> Described:
    said = said_over(DEFAULTS, folder.config)
    checked(folder.where, said, is_decoder=False, position_embedding_type="absolute", add_cross_attention=False)
    text, field = text_encoder(folder, said, ("pooler.dense.weight", "bert.pooler.dense.weight"), SPECIALS)
    text |= {"types": said["type_vocab_size"]}
    return Described({"encoders": {"text": text}, "width": text.get("head", said["hidden_size"]), "bare": ["text"]}, (field,))


def text_encoder(
    folder: Folder, said: Json, pooler: tuple[str, str], specials: Sequence[str], before: int = 0
) -> tuple[Json, Text]:
    """The arguments of an encoder of BERT's kind and its field. `pooler`: what an array of its pooler is called; `specials`: as
    `SPECIALS`; `before`: how many positions stand before that of the first token."""
    places = said["max_position_embeddings"]
    asked = sentence(folder) or {"form": "bert" if folder.holds(*pooler) else "bert_first"}
    field = text_field(folder, longest(folder, places - before), specials[0], tokenizer(folder, specials))
    text = {"encoder": "published_text", "vocabulary": said["vocab_size"], "length": places, **asked}
    return text | {"layers": layers(said) | {"norm_first": False}}, field


def tokenizer(folder: Folder, specials: Sequence[str]) -> Json:
    """The tokenizer.json, or one made of vocab.txt; what tokenizer_config.json says of case and accents counts."""
    config = folder.json(TOKENS_CONFIG) or {}
    said = (
        loads(read(folder.path / TOKENS)) if (folder.path / TOKENS).is_file() else from_lines(folder.path / "vocab.txt", specials)
    )
    normal = said.get("normalizer") or {}
    if normal.get("type") == "BertNormalizer":
        names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
        said["normalizer"] = normal | {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    return said


def from_lines(path: Path, specials: Sequence[str]) -> Json:
    """The tokenizer.json of a vocab.txt, a piece a line (Devlin et al. 2019: WordPiece, lower case, accents taken off)."""
    if not path.is_file():
        raise BadFile(f"{path.parent}: has neither {TOKENS} nor {path.name}: copy one of them from the model's repository")
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # other ends of lines are pieces
    known = {piece: i for i, piece in enumerate(lines)}
    if lacking := [token for token in specials if token not in known]:
        raise BadFile(f"{path}: lacks {', '.join(lacking)}")
    return word_pieces(known, specials)


def word_pieces(known: dict[str, int], specials: Sequence[str] = SPECIALS) -> Json:
    """The tokenizer.json of pieces with their numbers, `specials` among them."""
    _, unknown, first, last, _ = specials
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    mark = {token: {"SpecialToken": {"id": token, "type_id": 0}} for token in (first, last)}
    single: list[Any] = [mark[first], {"Sequence": {"id": "A", "type_id": 0}}, mark[last]]
    return {
        **{"version": "1.0", "truncation": None, "padding": None},
        "added_tokens": [{"id": known[token], "content": token, **kinds} for token in specials],
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
            **{"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##"},
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
        *dense_rules(text),
    ]
    return Names(rules, {"log_scale": 0.0}, idle(arguments, "cls.*"), plain)


def idle(arguments: Json, heads: str) -> list[str]:
    """What is of no use: `heads` for training, buffers, and the pooler where the form has none."""
    form = arguments["encoders"]["text"]["form"]
    return [heads, "embeddings.position_ids", "embeddings.token_type_ids", *([] if form == "bert" else ["pooler.*"])]


def plain(name: str) -> str:
    """Older files have a prefix, and call the parameters of norms as TensorFlow did."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    text = arguments["encoders"]["text"]
    said = {"architectures": ["BertModel"], "model_type": "bert", "type_vocab_size": text["types"]}
    return text_encoder_files(said, text, the(fields, Text), "BertTokenizer")


def text_encoder_files(said: Json, text: Json, field: Text, tokenizer: str) -> dict[str, Json]:
    """The files of an encoder of BERT's kind; `said` is its own part of config.json, `tokenizer` a class of transformers."""
    config = said | {"vocab_size": text["vocabulary"], "max_position_embeddings": text["length"], **layers_said(text["layers"])}
    kind = tokenizer if _word_pieces(tokenizer_of(field)) else "PreTrainedTokenizerFast"
    return {"config.json": config, **text_files(field, kind, **case_said(field)), **sentence_files(text, field)}


def case_said(field: Text) -> Json:
    """What tokenizer_config.json says of case and accents, where the tokenizer looks at them."""
    normal = tokenizer_of(field).get("normalizer") or {}
    return {"do_lower_case": normal["lowercase"], "strip_accents": normal["strip_accents"]} if "lowercase" in normal else {}


def _word_pieces(tokenizer: Json) -> bool:
    """Whether it is of BERT's kind; BERTs of many languages have other ones, which transformers' own class would misread."""
    return isinstance(tokenizer["model"]["vocab"], dict) and "merges" not in tokenizer["model"]


BERT = Family(
    name="bert",
    types=("bert",),
    architectures=("BertModel", "BertForMaskedLM", "BertForPreTraining"),
    examples=(
        Example("google-bert/bert-base-uncased", 109.5, "Apache-2.0"),
        Example("sentence-transformers/all-MiniLM-L6-v2", 22.7, "Apache-2.0"),
        Example("sentence-transformers/LaBSE", 471.5, "Apache-2.0"),
    ),
    describe=describe,
    names=names,
    files=files,
    beside=(DENSE,),
    gives="vectors of tokens and of sentences",
)
