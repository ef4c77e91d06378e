"""CLIP's tokenizer from its older form, vocab.json and merges.txt (Radford et al. 2021, section 2.4: byte pairs, lower case)."""

from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json
from sensorium.pretrained.family import Json

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What is one word, as the authors' code has it."""


def clip_tokenizer(path: Path) -> Json:
    """The tokenizer.json of a folder with vocab.json and merges.txt. `BadFile` where either is not what it should be."""
    known = read_json(path / "vocab.json")
    if not isinstance(known, dict) or not {START, END} <= known.keys():
        raise BadFile(f"{path / 'vocab.json'}: expected an object of pieces and their numbers, {START} and {END} among them")
    lines = (path / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if odd := [pair for pair in merges if len(pair) != 2]:
        raise BadFile(f"{path / 'merges.txt'}: expected two pieces on each line, got {' '.join(odd[0])!r}")
    return tokenizer_json(known, merges)


def tokenizer_json(known: dict[str, int], merges: list[list[str]]) -> Json:
    """The tokenizer.json of pieces with their numbers and of the pairs that are merged, in order."""
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True}
    byte = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    steps = [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": known[token], "content": token, **kinds} for token in (START, END)],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte]},
        "post_processor": {
            **{"type": "RobertaProcessing", "sep": [END, known[END]], "cls": [START, known[START]]},
            **{"trim_offsets": False, "add_prefix_space": False},
        },
        "decoder": byte,
        "model": {
            **{"type": "BPE", "dropout": None, "unk_token": END, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>"},
            **{"fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": known, "merges": merges},
        },
    }
