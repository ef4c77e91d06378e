"""Queries that are sums: `"a dog" + 0.5*image:x.jpg - "snow"`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import nearest
from sensorium.core.protocols import Modality, Raw
from sensorium.search.collection import Collection, Hit
from sensorium.search.embed import Model
from sensorium.search.reading import Token, tokens, unreadable
from sensorium.search.where import Where

_WORD = r"""[^\W\d]\w*:(?:"[^"]*"|'[^']*'|[^\s"']+)"""
_BEGIN = re.compile(r"""\s*[-+]?\s*(?:\d+(?:\.\d+)?\s*\*\s*)?(?:(?P<quote>")|(?P<name>[^\W\d]\w*):\S)""")


HERE = Path()


class Term(NamedTuple):
    """A thing of a field, and how much it counts; below 0 it is taken away."""

    weight: float
    field: str
    raw: Raw


def is_mixed(text: str, model: "Model | Sequence[Modality]") -> bool:
    """Whether a text is meant as a sum, and not as words to look for: it begins with a text in double quotes or with the name of
    a field (of a model, or of some) and a colon, perhaps after a sign and a weight."""
    begin = _BEGIN.match(text)
    return begin is not None and (begin["quote"] is not None or begin["name"] in _fields(model))


def terms(text: str, model: "Model | Sequence[Modality]", root: Path | None = HERE) -> list[Term]:
    """What a sum is made of: texts in quotes, `image:file.jpg` or `audio:"a file.wav"` (from `root`; no files without one), each
    perhaps after a number and `*`, with + or − between. `Unreadable` shows the place where it is not understood."""
    rest, known, out = tokens(text, ("+", "-", "−", "*"), _WORD), _fields(model), []
    while rest[0].kind != "end" or not out:
        sign = 1.0
        if rest[0].value in ("+", "-", "−") and rest[0].kind == "mark":
            sign = 1.0 if rest.pop(0).value == "+" else -1.0
        elif out:
            raise unreadable(text, rest[0].at, "expected + or - between two things")
        if rest[0].kind == "number":
            sign *= float(rest.pop(0).value)
            if rest[0].value != "*":
                raise unreadable(text, rest[0].at, "expected * after a weight")
            rest.pop(0)
        out.append(Term(sign, *_thing(text, rest.pop(0), known, root)))
    return out


def query(
    collection: Collection,
    model: Model,
    text: str,
    k: int = 10,
    within: Sequence[str] | None = None,
    where: Where | str | None = None,
) -> list[Hit]:
    """The items nearest to a sum of things; the rest is as for `Collection.query`."""
    total, asked = summed(collection.check(model), terms(text, model))
    return collection.find(total, asked, k, within, where)


def summed(model: Model, parts: Sequence[Term]) -> tuple[Float[np.ndarray, " D"], set[str]]:
    """The sum of what the parts are, by their weights, and the fields that they are of."""
    total, asked = None, dict.fromkeys(part.field for part in parts)
    for name in asked:
        own = [part for part in parts if part.field == name]
        units = model.encode(**{name: [part.raw for part in own]})[name]
        part = np.sum([one.weight * z for one, z in zip(own, units, strict=True)], axis=0)
        total = part if total is None else total + part
    assert total is not None
    return total, set(asked)


def _fields(model: "Model | Sequence[Modality]") -> dict[str, tuple[str, str]]:
    """(field, kind) by the names of fields, and by their kinds where no field is so called: the first of each."""
    fields = model if isinstance(model, Sequence) else model.fields
    kinds = {field.kind: (field.name, field.kind) for field in reversed(fields)}
    return kinds | {field.name: (field.name, field.kind) for field in fields}


def _thing(text: str, token: Token, known: dict[str, tuple[str, str]], root: Path | None) -> tuple[str, Raw]:
    """A field and what is given of it."""
    name, _, raw = ("text", "", token.value) if token.kind == "text" else token.value.partition(":")
    if token.kind not in ("text", "word"):
        got = repr(token.value) if token.value else "the end"
        raise unreadable(text, token.at, f'expected a text in quotes or FIELD:FILE, such as "a dog" or image:dog.jpg, got {got}')
    if name not in known:
        raise unreadable(text, token.at, f"the model has no field {name!r}.{nearest(name, known)[:-1]}")
    field, kind = known[name]
    if token.kind == "word" and raw[0] in "\"'":
        raw = raw[1:-1]
    if not raw.strip():
        raise unreadable(text, token.at, "there is nothing in it")
    if kind == "text":
        return field, raw
    if root is None:
        raise unreadable(text, token.at, "files are sent along with a query, and not named in it")
    if not (root / raw).exists():
        raise unreadable(text, token.at + len(name) + 1, f"{root / raw}: no such file")
    return field, root / raw
