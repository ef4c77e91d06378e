"""Filters: a small tree of what has to be true of a row. Drivers translate it; no text from outside reaches a database.

A comparison with a value that is missing is false, and `Not` of it is true: there is no third truth value.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sensorium.core.errors import SensoriumError
from sensorium.search.reading import Token, tokens, unreadable

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "known")
Value = str | int | float | bool
_MARKS = ("<=", ">=", "!=", "<>", "==", "=", "<", ">", "(", ")", ",", "-")
_WORD = r"[^\W\d][\w./]*|`[^`]+`"
_DEEPEST = 50


@dataclass(frozen=True)
class Compare:
    """A column beside a value: `op` is one of `OPERATORS`; with "in" the value is a tuple of alternatives, with "known" None."""

    name: str
    op: str
    value: Value | tuple[Value, ...] | None = None

    def __post_init__(self):
        if self.op not in OPERATORS:
            raise SensoriumError(f"a filter of {self.name!r} by {self.op!r}: expected one of {', '.join(OPERATORS)}")
        fits = {"in": isinstance(self.value, tuple), "known": self.value is None}
        if not fits.get(self.op, isinstance(self.value, str | float | int)):
            raise SensoriumError(f"a filter {self.name} {self.op} {self.value!r}: expected a text, a number or a truth value")
        for value in self.value if isinstance(self.value, tuple) else (self.value,):
            if isinstance(value, float) and not math.isfinite(value):
                raise SensoriumError(f"a filter {self.name} {self.op} {value}: expected a finite number")


@dataclass(frozen=True)
class Every:
    """All of them; of none it is true."""

    parts: "tuple[Where, ...]"


@dataclass(frozen=True)
class Some:
    """At least one of them; of none it is false."""

    parts: "tuple[Where, ...]"


@dataclass(frozen=True)
class Not:
    part: "Where"


Where = Compare | Every | Some | Not


def comparisons(where: Where) -> Iterator[Compare]:
    """Those of a tree, from left to right."""
    if isinstance(where, Compare):
        yield where
    else:
        for part in (where.part,) if isinstance(where, Not) else where.parts:
            yield from comparisons(part)


def parse(text: str) -> Where:
    """The tree of `year > 2020 and (kind = 'video' or place in ('Rome', 'Oslo')) and not artist is known`.

    Texts stand in single or double quotes; `true` and `false` are truth values; a name with spaces or signs in it
    stands in `backquotes`. `Unreadable` shows the place where it is not understood.
    """
    if not text.strip():
        raise unreadable(text, 0, "an empty filter: expected a condition such as year > 2020, or no filter at all")
    reader = _Reader(text)
    where = reader.some(0)
    reader.expect("end", "", "“and”, “or” or the end")
    return where


class _Reader:
    def __init__(self, text: str):
        self.text, self.rest = text, tokens(text, _MARKS, _WORD)

    def some(self, depth: int) -> Where:
        return self._series("or", Some, lambda: self._series("and", Every, lambda: self._one(depth)))

    def expect(self, kind: str, value: str, what: str) -> Token:
        token = self.rest[0]
        if token.kind != kind or (value and token.value != value):
            got = repr(token.value) if token.value else "the end"
            raise unreadable(self.text, token.at, f"expected {what}, got {got}")
        return self.rest.pop(0)

    def _series(self, word: str, joined: type[Some] | type[Every], part: Callable[[], Where]) -> Where:
        parts = [part()]
        while self._next(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else joined(tuple(parts))

    def _next(self, word: str) -> bool:
        """Takes the word, in small or capital letters, where it is the next."""
        token = self.rest[0]
        if token.kind in ("word", "mark") and token.value.lower() == word:
            self.rest.pop(0)
            return True
        return False

    def _one(self, depth: int) -> Where:
        if depth > _DEEPEST:
            raise unreadable(self.text, self.rest[0].at, f"more than {_DEEPEST} brackets and “not”s inside each other")
        if self._next("not"):
            return Not(self._one(depth + 1))
        if self._next("("):
            inside = self.some(depth + 1)
            self.expect("mark", ")", "“)”")
            return inside
        name = self.expect("word", "", "the name of a column").value.strip("`")
        if self._next("is"):
            for word in ("known", "missing"):
                if self._next(word):
                    known = Compare(name, "known")
                    return known if word == "known" else Not(known)
            raise unreadable(self.text, self.rest[0].at, "expected “known” or “missing” after “is”")
        negated = self._next("not")
        if negated or self.rest[0].value.lower() == "in":
            self.expect("word", self.rest[0].value if self.rest[0].value.lower() == "in" else "in", "“in”")
            among = Compare(name, "in", self._values())
            return Not(among) if negated else among
        return self._comparison(name)

    def _comparison(self, name: str) -> Where:
        token = self.rest[0]
        op = {"==": "=", "<>": "!="}.get(token.value, token.value)
        if token.kind != "mark" or op not in OPERATORS:
            hint = "; a name with spaces or signs stands in backquotes: `camera-model`" if token.kind in ("word", "mark") else ""
            raise unreadable(self.text, token.at, f"expected =, !=, <, <=, >, >=, “in” or “is” after {name!r}{hint}")
        self.rest.pop(0)
        return Compare(name, op, self._value())

    def _values(self) -> tuple[Value, ...]:
        self.expect("mark", "(", "“(” after “in”")
        values = [self._value()]
        while self._next(","):
            values.append(self._value())
        self.expect("mark", ")", "“,” or “)”")
        return tuple(values)

    def _value(self) -> Value:
        sign = -1.0 if self._next("-") else 1.0
        token = self.rest.pop(0)
        if token.kind == "number":
            return sign * float(token.value)
        if token.kind == "text" and sign > 0:
            return token.value
        if token.kind == "word" and token.value.lower() in ("true", "false") and sign > 0:
            return token.value.lower() == "true"
        hint = f" (a text stands in quotes: '{token.value}')" if token.kind == "word" else ""
        raise unreadable(self.text, token.at, f"expected a number, a text in quotes, true or false{hint}")
