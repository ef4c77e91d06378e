"""Small models in the published layouts, their tokenizers made of the texts at hand: for lessons, for tests, for where there is
no network. Their parameters are random until they are trained; their folders are read by transformers like any other."""

import re
from collections.abc import Iterable

from sensorium.core.protocols import Modality
from sensorium.core.table import Table
from sensorium.modalities.picture import Picture, Processing
from sensorium.pretrained.bert import SPECIALS, word_pieces
from sensorium.pretrained.clip_tokens import END, START, tokenizer_json
from sensorium.pretrained.family import Described, Json
from sensorium.pretrained.preprocess import filled
from sensorium.training import Card

HALVES = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
"""How pixels are normalised: to [-1, 1]."""


def small(
    family: str,
    texts: Iterable[str] = (),
    *,
    size: int = 64,
    patch: int = 8,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    length: int = 32,
) -> tuple[Card, tuple[Modality, ...]]:
    """A model of a family ("clip", "vit" or "bert") as the card that builds it, and its fields.

    Pictures come to `size` × `size`; each encoder has `depth` layers of `width`. The tokenizer knows the words of `texts` whole,
    and spells others; a text has at most `length` tokens.
    """
    layers = {"width": width, "depth": depth, "heads": heads, "hidden": 4 * width, "eps": 1e-5}
    words = sorted({word for text in texts for word in re.findall(r"[a-z]+|[0-9]", text.lower())})
    made = SMALL[family](layers, [size, size], patch, words, length)
    return Card("space", made.arguments), made.fields


def _clip(layers: Json, size: list[int], patch: int, words: list[str], length: int) -> Described:
    said, pieces = _byte_pairs(words)
    image = _pictures("clip", layers | {"activation": "quick_gelu"}, size, patch)
    text = _texts("clip", layers | {"activation": "quick_gelu"}, len(pieces), length) | {"end": pieces[END]}
    fields = (_picture(size), filled(said, length, END, pieces[END]))
    return Described({"encoders": {"image": image, "text": text}, "width": layers["width"]}, fields)


def _vit(layers: Json, size: list[int], patch: int, words: list[str], length: int) -> Described:
    image = _pictures("vit_pooled", layers | {"activation": "gelu", "qkv_bias": True}, size, patch) | {"labels": []}
    return Described({"encoders": {"image": image}, "width": layers["width"], "bare": ["image"]}, (_picture(size),))


def _bert(layers: Json, size: list[int], patch: int, words: list[str], length: int) -> Described:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = list(dict.fromkeys([*SPECIALS, *letters, *(f"##{letter}" for letter in letters), *".,!?'", *words]))
    known = {piece: i for i, piece in enumerate(pieces)}
    more = {"activation": "gelu", "norm_first": False}
    text = _texts("bert", layers | more, len(known), length) | {"types": 2}
    field = filled(word_pieces(known), length, SPECIALS[0], known[SPECIALS[0]])
    return Described({"encoders": {"text": text}, "width": layers["width"], "bare": ["text"]}, (field,))


SMALL = Table("small model", {"clip": _clip, "vit": _vit, "bert": _bert})


def _pictures(form: str, layers: Json, size: list[int], patch: int) -> Json:
    return {"encoder": "published_vit", "form": form, "size": size, "patch": patch, "layers": layers, "pixels": HALVES}


def _texts(form: str, layers: Json, vocabulary: int, length: int) -> Json:
    return {"encoder": "published_text", "form": form, "vocabulary": vocabulary, "length": length, "layers": layers}


def _picture(size: list[int]) -> Picture:
    return Picture("image", Processing(size, 3, ()))


def _byte_pairs(words: list[str]) -> tuple[Json, dict[str, int]]:
    """A tokenizer of CLIP's kind, and its pieces with their numbers: bytes, then each word by merging it from the left."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    merges = {}
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        for i in range(1, len(parts)):
            merges["".join(parts[:i]), parts[i]] = None
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    known = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return tokenizer_json(known, [list(pair) for pair in merges]), known
