"""Text: i32 numbers of pieces of words, with a mask of the real ones, and a number that equal captions share."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from sensorium.core.protocols import Raw
from sensorium.modalities.raw import BadRaw, described
from sensorium.modalities.tokenizer import ASCII, END, LONGEST_WORD, START, Tokenizer, vocabulary


@dataclass(frozen=True)
class Text:
    """A field of captions (or titles, questions, …): `words` and the characters of `alphabet` are what it can read.

    `length` counts the two marks of start and end. Longer text is cut; its end mark is kept.
    """

    name: str = "text"
    words: Sequence[str] = ()
    alphabet: str = ASCII
    length: int = 32

    kind: ClassVar[str] = "text"
    folder: ClassVar[str] = "captions"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    tower: ClassVar[str] = "text_transformer"

    def __post_init__(self):
        object.__setattr__(self, "words", tuple(self.words))  # JSON has lists only
        pieces = vocabulary(self.alphabet, self.words)
        if len(set(pieces)) != len(pieces):
            twice = sorted(piece for piece, times in Counter(pieces).items() if times > 1)
            raise BadRaw(f"Text: {', '.join(map(repr, twice[:5]))} twice among the specials, the characters and the words")
        if self.length < 3:
            raise BadRaw(f"Text(length={self.length}): expected at least 3, as start and end take two")

    @classmethod
    def from_captions(cls, captions: Iterable[str], name: str = "text", most_words: int = 4000, longest: int = 64) -> "Text":
        """The field that suits some captions: their most frequent words, their characters, and room for the longest of them.

        Equal captions in any order give an equal field: words are taken by count, then by alphabet.
        """
        captions = list(captions)
        if not any(caption.strip() for caption in captions):
            raise BadRaw(f"no words to learn from: {len(captions)} captions, none with any text")
        seen = set("".join(unicodedata.normalize("NFC", text).lower() for text in captions)) - set(ASCII)
        alphabet = ASCII + "".join(sorted(c for c in seen if not c.isspace() and c.isprintable()))
        reader = Tokenizer(alphabet, ())
        counts = Counter(word for text in captions for word in reader.words(text))
        known = [word for word in counts if 1 < len(word) <= LONGEST_WORD]
        words = tuple(sorted(known, key=lambda word: (-counts[word], word))[:most_words])
        reader = Tokenizer(alphabet, words)
        needed = 2 + max(len(reader.numbers(text)) for text in captions)
        return cls(name, words, alphabet, min(max(needed, 3), longest))

    @property
    def vocabulary_size(self) -> int:
        return len(self._tokenizer.pieces)

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: i32[L], name/mask: bool[L], name/id: i32[]}` of a string."""
        return {key: value[0] for key, value in self.prepare_batch([raw]).items()}

    def prepare_batch(self, raws: Sequence[Raw]) -> dict[str, np.ndarray]:
        """The same for many strings at once: i32[B L], bool[B L], i32[B]."""
        numbers = np.zeros((len(raws), self.length), np.int32)
        lengths = np.zeros(len(raws), np.int32)
        room, tokenizer = self.length - 2, self._tokenizer
        for row, text in enumerate(raws):
            if not isinstance(text, str):
                raise BadRaw(f"text cannot be made of {described(text)}: give a string")
            pieces = [START, *tokenizer.numbers(text)[:room], END]
            numbers[row, : len(pieces)] = pieces
            lengths[row] = len(pieces)
        ids = np.array([identity(text) for text in raws], np.int32)
        mask = np.arange(self.length, dtype=np.int32) < lengths[:, None]
        return {self.name: numbers, f"{self.name}/mask": mask, f"{self.name}/id": ids}

    def blank(self) -> dict[str, np.ndarray]:
        """No token at all: the mask is False everywhere."""
        return {
            self.name: np.zeros(self.length, np.int32),
            f"{self.name}/mask": np.zeros(self.length, bool),
            f"{self.name}/id": np.array(-1, np.int32),
        }

    def show(self, x: Int[np.ndarray, " L"]) -> str:
        """Text again: lower-cased, spaces as they are usual, specials left out."""
        return self._tokenizer.text(np.asarray(x).tolist())

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many tokens the whole text has, how many are kept)."""
        return 2 + len(self._tokenizer.numbers(raw)), self.length

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer(self.alphabet, self.words)


def identity(text: str) -> int:
    """31 bits that two captions share if they differ in nothing but case, white space and Unicode form."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        normal = " ".join(text.split())
    else:
        normal = " ".join(text.lower().split())
    return int.from_bytes(hashlib.blake2s(normal.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big") >> 1
