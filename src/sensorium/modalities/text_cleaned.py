"""What OpenCLIP does to a text before it is cut into pieces (Radford et al. 2021, the authors' `simple_tokenizer.py`): repairs as
by ftfy, HTML entities read twice, white space made single, and by the kind of cleaning lower case, or no punctuation too.

Of ftfy's repairs one is not done: mojibake is left as it is ("cafÃ©" for "café"). All others are: entities, control characters
of Latin-1 that were meant as Windows-1252, ligatures, wide and narrow forms, curly quotes, line breaks, halves of surrogate
pairs, escape sequences of terminals, control characters, and NFC.
"""

import html
import re
import string
import unicodedata
from html.entities import html5

from sensorium.core.table import Table


def _wide() -> dict[int, str]:
    """Wide and narrow forms of letters, and the wide space -> the usual ones."""
    plain = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)}
    return {0x3000: " "} | {code: text for code, text in plain.items() if text != chr(code)}


def _windows() -> dict[int, str]:
    """Control characters -> what Windows-1252 has in their place."""
    return {code: bytes([code]).decode("windows-1252", "ignore") or chr(code) for code in range(0x80, 0xA0)}


def _entities() -> dict[str, str]:
    """HTML's names, with their semicolon; and those in lower case also in capitals, where that is no other name."""
    named = {f"&{name}": text for name, text in html5.items() if name.endswith(";")}
    small = {f"&{name}".upper(): text.upper() for name, text in html5.items() if name.endswith(";") and name == name.lower()}
    return named | {name: text for name, text in small.items() if html.unescape(name) == name}


_ENTITIES, _ENTITY = _entities(), re.compile(r"&#?[0-9A-Za-z]{1,24};")
_ESCAPE, _PAIR, _HALF = (re.compile(p) for p in ("\033\\[[\\d;]*[a-zA-Z]", "[\ud800-\udbff][\udc00-\udfff]", "[\ud800-\udfff]"))
_JOINED = {
    **{"Ĳ": "IJ", "ĳ": "ij", "ŉ": "ʼn", "Ǳ": "DZ", "ǲ": "Dz", "ǳ": "dz", "Ǆ": "DŽ", "ǅ": "Dž", "ǆ": "dž", "Ǉ": "LJ", "ǈ": "Lj"},
    **{"ǉ": "lj", "Ǌ": "NJ", "ǋ": "Nj", "ǌ": "nj", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ſt", "ﬆ": "st"},
}
_LETTERS = _windows() | {ord(one): text for one, text in _JOINED.items()} | _wide()
_QUOTES = dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
_BREAKS: dict[int, str] = dict.fromkeys([0x0D, 0x2028, 0x2029], "\n")
_CODES = (*range(9), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD))
_NOTHING = dict.fromkeys(_CODES, "")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation), "")


def whitespace(text: str) -> str:
    """Repaired, on one line, with single spaces."""
    return " ".join(html.unescape(html.unescape(_repaired(text))).split())


def lower(text: str) -> str:
    """The same in lower case: what OpenCLIP's own tokenizer reads."""
    return whitespace(text).lower()


def canonical(text: str) -> str:
    """The same without punctuation (the authors' code of SigLIP)."""
    text = html.unescape(html.unescape(_repaired(text))).strip().replace("_", " ")
    return " ".join(text.translate(_PUNCTUATION).lower().split())


CLEANINGS = Table("cleaning of texts", {"whitespace": whitespace, "lower": lower, "canonicalize": canonical})
"""By the names that OpenCLIP has for them."""


def _repaired(text: str) -> str:
    """Line by line, as ftfy does it: where one holds a "<", it is taken for HTML, and the rest keeps its entities."""
    out, plain = [], True
    for line in re.findall("[^\n]*\n|[^\n]+", text):
        plain = plain and "<" not in line
        before = None
        while before != line:
            before, line = line, _once(line, plain)
        out.append(line)
    return "".join(out)


def _once(text: str, plain: bool) -> str:
    if plain:
        text = _ENTITY.sub(_entity, text)
    text = text.translate(_LETTERS).translate(_QUOTES).replace("\r\n", "\n").translate(_BREAKS)
    text = _HALF.sub("\ufffd", _PAIR.sub(lambda found: found[0].encode("utf-16", "surrogatepass").decode("utf-16"), text))
    return unicodedata.normalize("NFC", _ESCAPE.sub("", text).translate(_NOTHING))


def _entity(found: re.Match[str]) -> str:
    name = found[0]
    if not name.startswith("&#"):
        return _ENTITIES.get(name, name)
    read = html.unescape(name)
    return name if ";" in read else read
