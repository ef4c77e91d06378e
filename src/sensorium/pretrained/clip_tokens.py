"""CLIP's tokenizer from its older form, vocab.json and merges.txt (Radford et al. 2021, section 2.4: byte pairs, lower case)."""

from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json
from sensorium.pretrained.family import Json

START, END = "<|startoftext|>", "<|endoftext|>"
INNER = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
WORDS = rf"<\|startoftext\|>|<\|endoftext\|>|{INNER}"
"""What is one word, as the authors' code has it."""
OPEN_START, OPEN_END = "<start_of_text>", "<end_of_text>"
"""The same marks in OpenCLIP's tokenizer: what looks like the others is text to it."""
END_OF_WORD = {"type": "Replace", "pattern": {"String": "</w>"}, "content": " "}


def clip_tokenizer(path: Path) -> Json:
    """The tokenizer.json of a folder with vocab.json and merges.txt. `BadFile` where either is not what it should be."""
    known = read_json(path / "vocab.json")
    if not isinstance(known, dict) or not {START, END} <= known.keys():
        raise BadFile(f"{path / 'vocab.json'}: expected an object of pieces and their numbers, {START} and {END} among them")
    return tokenizer_json(known, merged(path / "merges.txt"))


def merged(path: Path) -> list[list[str]]:
    """The pairs of a merges.txt, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if odd := [pair for pair in merges if len(pair) != 2]:
        raise BadFile(f"{path}: expected two pieces on each line, got {' '.join(odd[0])!r}")
    return merges


def tokenizer_json(known: dict[str, int], merges: list[list[str]], marks: tuple[str, str] = (START, END)) -> Json:
    """The tokenizer.json of pieces with their numbers and of the pairs that are merged, in order; `marks` stand about a text."""
    start, end = marks
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True}
    byte = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    steps = [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": known[token], "content": token, **kinds} for token in marks],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte]},
        "post_processor": {
            **{"type": "RobertaProcessing", "sep": [end, known[end]], "cls": [start, known[start]]},
            **{"trim_offsets": False, "add_prefix_space": False},
        },
        "decoder": byte,
        "model": {
            **{"type": "BPE", "dropout": None, "unk_token": end, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>"},
            **{"fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": known, "merges": merges},
        },
    }


def open_clip_tokenizer(said: Json, length: int) -> Json:
    """The tokenizer.json of OpenCLIP's own tokenizer (`SimpleTokenizer`), of the pieces of one of CLIP's: marks of other names, 0
    behind the end up to `length`. Texts have to be cleaned before (`text_cleaned`), so it normalises nothing."""
    model = said["model"]
    marks = {START: OPEN_START, END: OPEN_END}
    known: dict[str, int] = {marks.get(piece) or piece: i for piece, i in model["vocab"].items()}
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    split = {"type": "Split", "pattern": {"Regex": f"(?i){INNER}"}, "behavior": "Removed", "invert": True}
    byte = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return tokenizer_json(known, merges, (OPEN_START, OPEN_END)) | {
        "normalizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [byte, END_OF_WORD, {"type": "Strip", "content": " ", "start": 0, "stop": 1}],
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte]},
        "truncation": {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            **{"strategy": {"Fixed": length}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0},
            "pad_token": min(known, key=known.__getitem__),
        },
    }
