"""What people type (filters, mixed queries) cut into tokens, and errors that point at the place."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sensorium.core.errors import SensoriumError


class Unreadable(SensoriumError, ValueError):
    """Typed words that mean nothing to us; the text shows the place by a mark under it."""


class Token(NamedTuple):
    """`kind`: "text" (in quotes, which are taken off), "number", "word", "mark" or "end"; `at`: where it stands."""

    kind: str
    value: str
    at: int


def unreadable(text: str, at: int, cause: str) -> Unreadable:
    """The error to raise: the cause, the line that was typed, and a mark under the place."""
    line = " ".join(text.splitlines()) if "\n" in text else text
    return Unreadable(f"{cause}, at character {at + 1}\n  {line}\n  {' ' * at}^")


def tokens(text: str, marks: Sequence[str], word: str) -> list[Token]:
    """The tokens of a text, and one of kind "end". `marks`: signs that stand for themselves, the longer ones first; `word`: what
    a word is, a regular expression. A quote inside a text in such quotes is written twice."""
    signs = "|".join(map(re.escape, marks))
    form = re.compile(
        rf"""\s*(?:(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))"""
        rf"""|(?P<word>{word})|(?P<mark>{signs}))"""
    )
    found, at = [], 0
    while text[at:].strip():
        match = form.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            quote = text[at] in "'\""
            raise unreadable(text, at, "a quote that is not closed" if quote else f"{text[at]!r} means nothing here")
        kind = str(match.lastgroup)
        value = match.group(kind)
        if kind == "text":
            value = value[1:-1].replace(value[0] * 2, value[0])
        found.append(Token(kind, value, match.start(kind)))
        at = match.end()
    return [*found, Token("end", "", len(text))]
