"""Captions that say nothing of their item, or are damaged."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from sensorium.data.listing import printable
from sensorium.data.near import near_texts
from sensorium.doctor.finding import Finding, found
from sensorium.doctor.spread import FEWEST
from sensorium.modalities import MODALITIES
from sensorium.modalities.text import identity

MANY, SHARE = 10, 0.01
"""Items that say the same, and their share of all, from which it is boilerplate: "a dog" is true of several pictures."""
OTHER_SCRIPT = 0.05
"""The share up to which a script is the odd one out."""
LONG_ENOUGH = 40
"""Characters of captions that are compared for near-equality: in short ones a letter is another thing (a cat, a hat)."""
SHOWN = 60
CAMERA = re.compile(r"(img|image|dsc|dscn|dscf|pxl|mvi|vid|pict|photo|screenshot|untitled)[\s_-]*\d{2,}[\w-]*", re.IGNORECASE)
ADDRESS = re.compile(r"(https?://|www\.)\S+", re.IGNORECASE)
TAG = re.compile(r"</?(p|br|b|i|u|a|div|span|img|strong|em|ul|ol|li|td|tr|table|h[1-6]|font|center)(\s[^>]*)?/?>", re.IGNORECASE)
ENTITY = re.compile(r"&(amp|nbsp|quot|apos|lt|gt|#\d{2,6});")


@dataclass(frozen=True)
class Caption:
    """A caption of an item, and where it stands: a file of captions or a manifest. `tokens` of it, of which `window` are read."""

    path: str
    item: str
    text: str
    tokens: float = 0
    window: float = 0


def findings(captions: Sequence[Caption], items: int) -> list[Finding]:
    """What is told of captions; `items`: how many there are in all."""
    out = []
    for c in captions:
        for kind in _kinds(c):
            out.append(found(kind, [c.path], f"“{short(c.text)}”"))
    cut = [c for c in captions if c.tokens > c.window]
    if 2 * len(cut) < len(captions):  # else the window is to blame, which the lengths tell
        out += [found("caption is cut", [c.path], f"{c.tokens:g} tokens, where the window is {c.window:g}") for c in cut]
    return [*out, *_boilerplate(captions, items), *_other_scripts(captions)]


def near_equal(captions: Sequence[Caption]) -> list[Finding]:
    """Captions of unlike items that differ in little: in case, marks and white space, or in a word of many."""
    texts = list(dict.fromkeys(c.text for c in captions))
    plain: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        plain["".join(ch for ch in text.casefold() if ch.isalnum())].append(text)
    bare = [one for one in plain if len(one) >= LONG_ENOUGH]
    alike = near_texts(bare)
    together = {row for group in alike for row in group}
    sets = [[text for row in group for text in plain[bare[row]]] for group in alike]
    sets += [plain[one] for row, one in enumerate(bare) if row not in together and len(plain[one]) > 1]
    where: dict[str, list[Caption]] = defaultdict(list)
    for c in captions:
        where[c.text].append(c)
    out = []
    for same in sets:
        of = {c.item: c for text in same for c in where[text]}
        if len(of) > 1 and len({identity(text) for text in same}) > 1:
            paths = sorted({c.path for c in of.values()})
            out.append(found("near-equal captions", paths, f"“{short(same[0])}” and “{short(same[1])}”"))
    return out


def scripts(captions: Iterable[Caption]) -> dict[str, int]:
    """How many captions are in each script (that of most of their letters): Latin, Cyrillic, CJK, …"""
    return dict(Counter(script(c.text) for c in captions).most_common())


def script(text: str) -> str:
    """The script of most letters of a text, as Unicode names it; "none" where it has no letter."""
    times = Counter(_script(c) for c in text if c.isalpha())
    return times.most_common(1)[0][0] if times else "none"


def short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def mended(text: str) -> str | None:
    """What a text was before its UTF-8 was read as Windows' Latin-1; None where it was not."""
    if text.isascii():
        return None
    try:
        before = text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return None
    return before if before != text else None


def _kinds(c: Caption) -> list[str]:
    tests = {
        "control characters": any(unicodedata.category(ch) == "Cc" and ch not in "\t\n\r" for ch in c.text),
        "byte order mark": "\ufeff" in c.text,
        "garbled letters": "\ufffd" in c.text or mended(c.text) is not None,
        "caption is an address": bool(ADDRESS.fullmatch(c.text)),
        "markup in a caption": bool(TAG.search(c.text) or ENTITY.search(c.text)),
        "caption is a file name": _is_file_name(c),
    }
    return [kind for kind, true in tests.items() if true]


def _is_file_name(c: Caption) -> bool:
    """The caption `cat` of cat.jpg is none: only names that no person gives count (with digits, underscores or a suffix)."""
    text = c.text.strip()
    stem = PurePosixPath(c.item).name
    if " " not in text and PurePosixPath(text).suffix.lower() in _suffixes():
        return True
    return bool(CAMERA.fullmatch(text)) or (text == stem and any(ch.isdigit() or ch == "_" for ch in text))


@cache
def _suffixes() -> frozenset[str]:
    return frozenset(suffix for modality in MODALITIES.values() for suffix in modality.suffixes)


def _boilerplate(captions: Sequence[Caption], items: int) -> list[Finding]:
    by: dict[int, dict[str, Caption]] = defaultdict(dict)
    for c in captions:
        by[identity(c.text)].setdefault(c.item, c)
    out = []
    for same in by.values():
        if len(same) >= max(MANY, SHARE * items):
            paths = sorted({c.path for c in same.values()})
            said = next(iter(same.values())).text
            out.append(found("boilerplate caption", paths, f"“{short(said)}” is said of {len(same)} of {items} items"))
    return out


def _other_scripts(captions: Sequence[Caption]) -> list[Finding]:
    each = [script(c.text) for c in captions]
    times = Counter(each)
    times.pop("none", None)
    if len(captions) < FEWEST or not times:
        return []
    (usual, count), *_ = times.most_common(1)
    if count < (1 - OTHER_SCRIPT) * len(captions):
        return []
    odd = [(c, name) for c, name in zip(captions, each, strict=True) if name not in (usual, "none")]
    return [
        found("other script", [c.path], f"“{short(c.text)}” is in {name}, where {count} of {len(captions)} are in {usual}")
        for c, name in odd
        if mended(c.text) is None
    ]


@cache
def _script(letter: str) -> str:
    """The first word of a letter's Unicode name: LATIN SMALL LETTER A, CJK UNIFIED IDEOGRAPH-4E00."""
    return unicodedata.name(letter, "unknown").split()[0].lower()
