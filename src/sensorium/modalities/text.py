"""Text: i32 numbers of pieces of words, with a mask of the real ones, and a number that equal captions share."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from sensorium.core.protocols import Modality, Raw
from sensorium.modalities.raw import BadRaw, described
from sensorium.modalities.text_pieces import WORDS, Bytes, Library, Pieces, Reader, Words, pieces_of, read
from sensorium.modalities.tokenizer import ASCII, LONGEST_WORD, Tokenizer, vocabulary


@dataclass(frozen=True)
class Text:
    """A field of captions (or titles, questions, …): `words` and the characters of `alphabet` are what it can read, unless
    `pieces` says otherwise (see `Text.bytes`, `Text.from_file` and `Text.trained`).

    `length` counts the two marks of start and end. Longer text is cut; its end mark is kept.
    """

    name: str = "text"
    words: Sequence[str] = ()
    alphabet: str = ASCII
    length: int = 32
    pieces: Pieces | Mapping[str, str] = WORDS

    kind: ClassVar[str] = "text"
    folder: ClassVar[str] = "captions"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    tower: ClassVar[str] = "text_transformer"

    def __post_init__(self):
        object.__setattr__(self, "words", tuple(self.words))  # JSON has lists only
        pieces = pieces_of(self.pieces)
        object.__setattr__(self, "pieces", pieces)  # and objects
        if pieces.kind == "words":
            known = vocabulary(self.alphabet, self.words)
            if twice := sorted(piece for piece, times in Counter(known).items() if times > 1):
                raise BadRaw(f"Text: {', '.join(map(repr, twice[:5]))} twice among the specials, the characters and the words")
        elif self.words:
            raise BadRaw(f"Text: {len(self.words)} words given, which pieces of kind {pieces.kind!r} do not use")
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

    @classmethod
    def trained(
        cls, captions: Iterable[str], kind: str = "bpe", size: int = 4000, name: str = "text", longest: int = 64
    ) -> "Text":
        """The field of at most `size` pieces that are learned from some captions: "bpe", "wordpiece" or "unigram" (see
        `text_training.trained`). Equal captions in any order give an equal field, on every machine."""
        from sensorium.modalities.text_training import trained

        captions = list(captions)
        pieces = Pieces("library", trained(captions, kind, size))
        reader = Library(pieces.json)
        needed = max(len(reader.numbers(caption)) for caption in captions)
        return cls(name, (), "", min(max(needed, 3), longest), pieces)

    @classmethod
    def from_file(cls, path: Path | str, name: str = "text", length: int | None = None) -> "Text":
        """The field of a `tokenizer.json` of Hugging Face, which becomes a part of the field.

        Its specials are put about a text, and it says on which side is filled and cut. `length`: as long as the file cuts
        to (or fills to) unless given; `BadRaw` where the file does not tell either.
        """
        pieces = Pieces("library", read(path))
        length = Library(pieces.json).longest if length is None else length
        if length is None:
            raise BadRaw(f"{path} does not say how long a text may be: give it, as Text.from_file(path, length=64)")
        return cls(name, (), "", length, pieces)

    @classmethod
    def bytes(cls, name: str = "text", length: int = 128) -> "Text":
        """The field that reads the bytes of UTF-8: nothing is unknown to it, and every text comes back as it was."""
        return cls(name, (), "", length, Pieces("bytes"))

    @property
    def vocabulary_size(self) -> int:
        return self._reader.size

    @property
    def end(self) -> int | None:
        """The number that ends a text, where there is one."""
        return self._reader.end

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: i32[L], name/mask: bool[L], name/id: i32[]}` of a string."""
        return {key: value[0] for key, value in self.prepare_batch([raw]).items()}

    def prepare_batch(self, raws: Sequence[Raw]) -> dict[str, np.ndarray]:
        """The same for many strings at once: i32[B L], bool[B L], i32[B]."""
        for text in raws:
            if not isinstance(text, str):
                raise BadRaw(f"text cannot be made of {described(text)}: give a string, or a list of them")
        numbers, mask = self._reader.batch(raws, self.length)
        ids = np.array([identity(text) for text in raws], np.int32)
        return {self.name: numbers, f"{self.name}/mask": mask, f"{self.name}/id": ids}

    def blank(self) -> dict[str, np.ndarray]:
        """No token at all: the mask is False everywhere."""
        return {
            self.name: np.full(self.length, self._reader.pad, np.int32),
            f"{self.name}/mask": np.zeros(self.length, bool),
            f"{self.name}/id": np.array(-1, np.int32),
        }

    def show(self, x: Int[np.ndarray, " L"]) -> str:
        """Text again, specials left out: as it was by bytes and BPE; lower-cased, spaces as they are usual, by words."""
        return self._reader.text(np.asarray(x).tolist())

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many tokens the whole text has, how many are kept)."""
        return len(self._reader.numbers(raw)), self.length

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are none of `words`, each once: they are read letter by letter, and nothing was learned of
        them. None of a field of pieces or bytes, to which every word is made of what it knows."""
        found = re.findall(r"\b[^\W\d_]\w+", unicodedata.normalize("NFC", text).lower()) if self.words else ()
        return [word for word in dict.fromkeys(found) if word not in self._words]

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def _reader(self) -> Reader:
        pieces = pieces_of(self.pieces)
        if pieces.kind == "bytes":
            return Bytes()
        return Library(pieces.json, pieces.clean) if pieces.kind == "library" else Words(self.alphabet, self.words)


def unknown_words(told: Iterable[tuple[Modality, Raw]]) -> list[str]:
    """The words of all texts among what is told, each a thing of a field, that their fields do not know: a model answers, but
    there is nothing behind the answer."""
    found = [field.unknown(raw) for field, raw in told if isinstance(field, Text) and isinstance(raw, str)]
    return list(dict.fromkeys(word for words in found for word in words))


def identity(text: str) -> int:
    """31 bits that two captions share if they differ in nothing but case, white space and Unicode form."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        normal = " ".join(text.split())
    else:
        normal = " ".join(text.lower().split())
    return int.from_bytes(hashlib.blake2s(normal.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big") >> 1
