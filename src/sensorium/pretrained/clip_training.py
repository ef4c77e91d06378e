"""CLIP's kind of tokenizer, learned from a user's own captions: byte pairs of lower-cased words, the same on every machine."""

from collections import Counter
from collections.abc import Iterable

from sensorium.modalities import BadRaw, Text
from sensorium.modalities.text_pieces import opened
from sensorium.modalities.text_training import merges
from sensorium.modalities.tokenizer import whole
from sensorium.pretrained.clip_tokens import END, START, tokenizer_json
from sensorium.pretrained.family import Json
from sensorium.pretrained.preprocess import dumps, filled

LAST = "</w>"
"""Stands at the end of the last piece of a word."""


def trained_field(captions: Iterable[str], size: int, longest: int) -> Text:
    """The field of at most `size` pieces learned from some captions, as long as the longest of them, at most `longest`."""
    captions = [whole(caption) for caption in captions]
    said = trained(captions, size)
    numbers = {START: said["model"]["vocab"][START], END: said["model"]["vocab"][END]}
    reader = opened(dumps(said))
    needed = max(len(reader.encode(caption).ids) for caption in captions)
    return filled(said, min(max(needed, 3), longest), END, numbers[END])


def trained(captions: list[str], size: int) -> Json:
    """The tokenizer.json: all bytes, each also as the end of a word, then merges of them, then the two marks (Radford et al.
    2021, section 2.4; Sennrich et al. 2016). A `BadRaw` where there is nothing to learn from, or not even room for the bytes.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    first = [*letters, *(letter + LAST for letter in letters)]
    least = len(first) + 2
    if size < least or not any(caption.strip() for caption in captions):
        raise BadRaw(f"{len(captions)} captions, {size} pieces: expected some text, and {least} pieces or more")
    reader = opened(dumps(tokenizer_json({piece: i for i, piece in enumerate([*first, START, END])}, [])))
    normal, cut = reader.normalizer, reader.pre_tokenizer
    assert normal is not None and cut is not None
    counts = Counter(word for caption in captions for word, _ in cut.pre_tokenize_str(normal.normalize_str(caption)))
    words = {(*word[:-1], word[-1] + LAST): times for word, times in counts.items()}
    made = merges(words, size - least, lambda a, b: a + b, set(first))
    pieces = dict.fromkeys([*first, *(a + b for a, b in made), START, END])
    said = tokenizer_json({piece: i for i, piece in enumerate(pieces)}, [list(pair) for pair in made])
    ends = {"type": "Replace", "pattern": {"String": LAST}, "content": " "}
    return said | {"decoder": {"type": "Sequence", "decoders": [said["decoder"], ends]}}
