"""Captions as numbers: words where they are known, else their characters, so that nothing is lost but unknown characters.

The vocabulary is four specials, the characters that may begin a word, the same after `##` for those that go on with one, and
whole words. `plain` is the `tokenizers` library's WordPiece (longest match first) over lower-cased text in Unicode form NFC,
cut at white space and around each punctuation mark; it defines what is right. `Tokenizer` gives the same numbers, but
remembers those of each ASCII word that it met, which is several times faster.
"""

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

SPECIALS = ("[PAD]", "[UNK]", "[START]", "[END]")
PAD, UNKNOWN, START, END = range(4)
ASCII = "".join(c for c in map(chr, range(33, 127)) if not c.isupper())
"""The printable characters of lower-cased ASCII."""
LONGEST_WORD = 64
"""A longer run of letters is cut, so that none takes quadratic time."""
MOST_REMEMBERED = 2**16
_SIMPLE = re.compile(r"[\t\n\r -~]*")
_WORDS = re.compile(rf"[0-9a-z]{{1,{LONGEST_WORD}}}|[!-/:-@[-`{{-~]")


def vocabulary(alphabet: str, words: Sequence[str]) -> tuple[str, ...]:
    """Every piece, in the order of the numbers."""
    return (*SPECIALS, *alphabet, *("##" + c for c in alphabet), *words)


def plain(alphabet: str, words: Sequence[str]) -> "tokenizers.Tokenizer":
    """The library's tokenizer, without specials, padding or cutting."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads cost more than they give, and warn after a fork
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    numbers = {piece: i for i, piece in enumerate(vocabulary(alphabet, words))}
    known = "".join(rf"\x{{{ord(c):x}}}" for c in alphabet)
    # WordPiece gives up a whole word for one unknown character: each of these stands alone, and its neighbours are kept.
    alone = Regex(rf"[^{known}]|[{known}]{{{LONGEST_WORD}}}")
    tokenizer = Tokenizer(
        models.WordPiece(numbers, unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=LONGEST_WORD)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split(alone, "isolated")]
    )
    tokenizer.decoder = decoders.WordPiece("##", cleanup=True)  # type: ignore[assignment]
    return tokenizer


class Tokenizer:
    """`plain` with a memory for words. Equal text, equal numbers, in any thread and order."""

    def __init__(self, alphabet: str, words: Sequence[str]):
        self.plain = plain(alphabet, words)
        self.pieces = vocabulary(alphabet, words)
        self._remembered: dict[str, tuple[int, ...]] = {}

    def numbers(self, text: str) -> list[int]:
        """The numbers of all pieces of a text, however many; no specials."""
        if not _SIMPLE.fullmatch(text):
            return self.plain.encode(whole(text), add_special_tokens=False).ids
        out: list[int] = []
        remembered = self._remembered
        for word in _WORDS.findall(text.lower()):
            numbers = remembered.get(word)
            out += self._learn(word) if numbers is None else numbers
        return out

    def words(self, text: str) -> list[str]:
        """The words and punctuation marks of a text, as they are before they are looked up."""
        if _SIMPLE.fullmatch(text):
            return _WORDS.findall(text.lower())
        normal = self.plain.normalizer.normalize_str(whole(text))
        return [word for word, _ in self.plain.pre_tokenizer.pre_tokenize_str(normal)]

    def text(self, numbers: list[int]) -> str:
        """Readable text again; specials are left out, and unknown characters are `[UNK]`."""
        pieces = [self.pieces[i] for i in numbers if i not in (PAD, START, END)]
        return self.plain.decoder.decode(pieces)

    def _learn(self, word: str) -> tuple[int, ...]:
        numbers = tuple(self.plain.encode(word, add_special_tokens=False).ids)
        if len(self._remembered) < MOST_REMEMBERED:
            self._remembered[word] = numbers
        return numbers


def whole(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, as U+FFFD: unknown characters like others."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
