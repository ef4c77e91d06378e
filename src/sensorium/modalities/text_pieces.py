"""Which pieces a text is cut into: known words (the default), bytes, or what a `tokenizer.json` says."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.modalities.raw import BadRaw
from sensorium.modalities.tokenizer import END, PAD, SPECIALS, START, Tokenizer, whole

if TYPE_CHECKING:
    import tokenizers

KINDS = ("words", "bytes", "library")


@dataclass(frozen=True)
class Pieces:
    """`kind`: "words" (of the field's `words` and `alphabet`), "bytes" (of UTF-8), or "library", which `json` describes: the
    text of a `tokenizer.json`, so that a saved model needs no other file. `clean`: what is done to a text before that, by the
    names of `text_cleaned.CLEANINGS`; nothing where it is empty."""

    kind: str = "words"
    json: str = ""
    clean: str = ""

    def __post_init__(self):
        if self.kind not in KINDS or (self.kind == "library") != bool(self.json):
            given = f"Pieces(kind={self.kind!r}, json of {len(self.json)} characters)"
            raise BadRaw(f"{given}: expected one of {', '.join(KINDS)}, with a json for 'library' and none for the others")
        if self.clean and self.kind != "library":
            raise BadRaw(f"Pieces(kind={self.kind!r}, clean={self.clean!r}): only texts for a tokenizer.json are cleaned")


WORDS = Pieces()


def pieces_of(said: Pieces | Mapping[str, str]) -> Pieces:
    """The pieces that a configuration in JSON says, where they are not pieces already."""
    return said if isinstance(said, Pieces) else Pieces(**said)


@runtime_checkable
class Reader(Protocol):
    """Texts to numbers and back: `size` of them; `pad` fills, `end` stands after a text (None where nothing does)."""

    @property
    def size(self) -> int: ...

    @property
    def pad(self) -> int: ...

    @property
    def end(self) -> int | None: ...

    def numbers(self, text: str) -> list[int]:
        """All of a text, with the marks about it."""
        ...

    def batch(self, texts: Sequence[str], length: int) -> tuple[Int[np.ndarray, "B L"], Bool[np.ndarray, "B L"]]:
        """Numbers and the mask of those that are not filled up; what is too long is cut, the marks are kept."""
        ...

    def text(self, numbers: list[int]) -> str: ...


class _Framed(ABC):
    """Four specials first, then pieces: start, the text, end, and pads on the right."""

    pad, end = PAD, END

    @abstractmethod
    def inner(self, text: str, most: int | None) -> list[int]:
        """The numbers of the text itself, at most so many of them."""

    def numbers(self, text: str) -> list[int]:
        return [START, *self.inner(text, None), END]

    def batch(self, texts: Sequence[str], length: int) -> tuple[Int[np.ndarray, "B L"], Bool[np.ndarray, "B L"]]:
        numbers = np.zeros((len(texts), length), np.int32)
        lengths = np.zeros(len(texts), np.int32)
        for row, text in enumerate(texts):
            found = [START, *self.inner(text, length - 2), END]
            numbers[row, : len(found)] = found
            lengths[row] = len(found)
        return numbers, np.arange(length, dtype=np.int32) < lengths[:, None]


class Words(_Framed):
    """Known words and characters: see `tokenizer`."""

    def __init__(self, alphabet: str, words: Sequence[str]):
        self.tokenizer = Tokenizer(alphabet, words)
        self.pieces = self.tokenizer.pieces
        self.size = len(self.pieces)

    def inner(self, text: str, most: int | None) -> list[int]:
        return self.tokenizer.numbers(text)[:most]

    def text(self, numbers: list[int]) -> str:
        return self.tokenizer.text(numbers)


class Bytes(_Framed):
    """The bytes of UTF-8, after the specials. What is cut is cut between characters, so what is left is text."""

    size = len(SPECIALS) + 256

    def inner(self, text: str, most: int | None) -> list[int]:
        content = whole(text).encode()
        if most is not None and len(content) > most:
            while most and content[most] & 0xC0 == 0x80:  # in the middle of a character
                most -= 1
        return [byte + len(SPECIALS) for byte in content[:most]]

    def text(self, numbers: list[int]) -> str:
        return bytes(n - len(SPECIALS) for n in numbers if n >= len(SPECIALS)).decode("utf-8", "replace")


class Library:
    """A tokenizer of the `tokenizers` library: its specials, the side that it fills and the side that it cuts are its own. Texts
    are cleaned first as `clean` says (see `Pieces`)."""

    def __init__(self, text: str, clean: str = ""):
        self._tokenizer, self._clean = opened(text), _cleaning(clean)
        said = json.loads(text)
        self._cut, self._fill = said.get("truncation") or {}, said.get("padding") or {}
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        self.size = max(known.values()) + 1
        added = [one["id"] for one in said.get("added_tokens", []) if one["special"]]
        empty = self._tokenizer.encode("").ids  # the marks about nothing
        pads = [known[piece] for piece in ("[PAD]", "<pad>", "<|pad|>") if piece in known]
        if self._fill:
            pads = [self._fill["pad_id"]]
        self._specials = {*added, *empty, *pads}
        self.pad = next(iter([*pads, *added]), 0)  # masked, whichever it is; one that is shown as nothing where there is one
        self.end: int | None = empty[-1] if empty else None
        self.longest: int | None = self._cut.get("max_length") or (self._fill.get("strategy") or {}).get("Fixed")
        self.marks = len(empty)

    def numbers(self, text: str) -> list[int]:
        return self._tokenizer.encode(self._clean(text)).ids

    def batch(self, texts: Sequence[str], length: int) -> tuple[Int[np.ndarray, "B L"], Bool[np.ndarray, "B L"]]:
        numbers = np.full((len(texts), length), self.pad, np.int32)
        mask = np.zeros((len(texts), length), bool)
        left_cut, left_fill = (part.get("direction") == "Left" for part in (self._cut, self._fill))
        for row, text in enumerate(texts):
            found = self._fitted(self._clean(text), length, left_cut)
            at = slice(length - len(found), length) if left_fill else slice(0, len(found))
            numbers[row, at] = found
            mask[row, at] = True
        return numbers, mask

    def text(self, numbers: list[int]) -> str:
        return self._tokenizer.decode([n for n in numbers if n not in self._specials], skip_special_tokens=False)

    def _fitted(self, text: str, length: int, left: bool) -> list[int]:
        """What fits, with the marks: the text is cut before the marks are put about it, as the library does it."""
        bare = self._tokenizer.encode(text, add_special_tokens=False)
        if len(bare) + self.marks > length:
            bare.truncate(length - self.marks, direction="left" if left else "right")
        return self._tokenizer.post_process(bare).ids


def _cleaning(name: str) -> Callable[[str], str]:
    if not name:
        return whole
    from sensorium.modalities.text_cleaned import CLEANINGS  # its tables take a while

    return CLEANINGS[name]


def opened(text: str, where: str = "a tokenizer") -> "tokenizers.Tokenizer":
    """The library's tokenizer of the text of a `tokenizer.json`, which neither fills nor cuts; else `BadFile`."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads cost more than they give, and warn after a fork
    from tokenizers import Tokenizer as Made

    try:
        made = Made.from_str(text)
    except Exception as error:  # the library raises the bare class
        raise BadFile(f"{where}: not a tokenizer.json of Hugging Face: {' '.join(str(error).split())}") from error
    made.no_padding()
    made.no_truncation()
    return made


def read(path: Path | str) -> str:
    """The text of a `tokenizer.json`, made as short as JSON can be. `BadFile` where it is none."""
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: {'a folder: give its tokenizer.json' if path.is_dir() else 'no such file'}")
    if (size := path.stat().st_size) > (most := limits().table_bytes):
        raise BadFile(f"{path}: {size} bytes; at most {most} are read (the limit table_bytes)")
    try:
        said: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path}: not a tokenizer.json of Hugging Face: {error}") from error
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    opened(text, str(path))
    return text
