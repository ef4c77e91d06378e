"""RoBERTa's tokenizer (Liu et al. 2019, section 4.4: byte pairs, case kept), also of vocab.json and merges.txt."""

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json
from sensorium.modalities.text_pieces import read
from sensorium.pretrained.clip_tokens import merged
from sensorium.pretrained.family import Folder, Json
from sensorium.pretrained.preprocess import TOKENS, TOKENS_CONFIG, loads

MARKS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def roberta_tokenizer(folder: Folder) -> Json:
    """The tokenizer.json of a folder, or one made of its vocab.json and merges.txt; `BadFile` where it has neither."""
    path = folder.path
    if (path / TOKENS).is_file():
        return loads(read(path / TOKENS))
    if not ((path / "vocab.json").is_file() and (path / "merges.txt").is_file()):
        raise BadFile(f"{path}: has neither {TOKENS} nor vocab.json and merges.txt: copy them from the model's repository")
    known = read_json(path / "vocab.json")
    if not isinstance(known, dict) or not set(MARKS) <= known.keys():
        raise BadFile(f"{path / 'vocab.json'}: expected an object of pieces and their numbers, {', '.join(MARKS)} among them")
    space = bool((folder.json(TOKENS_CONFIG) or {}).get("add_prefix_space", False))
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        **{"version": "1.0", "truncation": None, "padding": None, "normalizer": None},
        "added_tokens": [{"id": known[token], "content": token, **kinds} for token in MARKS],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            **{"type": "RobertaProcessing", "sep": ["</s>", known["</s>"]], "cls": ["<s>", known["<s>"]]},
            **{"trim_offsets": True, "add_prefix_space": space},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": ""},
            **{"fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": known},
            "merges": merged(path / "merges.txt"),
        },
    }
