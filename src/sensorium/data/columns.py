"""What the columns of a table hold: understood by their names and by what is in them, or as the user says."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from sensorium.core.errors import BadFile, UnknownName, nearest
from sensorium.data.sides import SIDES, known
from sensorium.modalities import MODALITIES

Columns = dict[str, list[str]]
"""kind (or "id", "group", "split") -> the columns that hold it; several, where their names differ by a number only."""
Given = Mapping[str, str | Sequence[str]]
"""What the user says of it: `{"image": "pic", "text": ["beschreibung", "titel"]}`."""

ROLES = ("id", "group", "split")
"""What a column may hold besides the kinds of `MODALITIES`."""
NAMES: dict[str, tuple[str, ...]] = {  # in the order of preference
    "id": ("id", "item_id", "uid", "key"),
    "image": ("image", "picture", "photo", "img", "image_path", "image_file", "image_name", "image_filename", "picture_path"),
    "audio": ("audio", "sound", "wav", "audio_path", "audio_file", "audio_name", "audio_filename", "sound_path", "clip"),
    "video": ("video", "movie", "film", "video_path", "video_file", "video_name", "video_filename", "movie_path"),
    "text": ("caption", "captions", "text", "sentence", "description", "title", "comment", "prompt", "raw"),
    "group": ("group", "group_id"),
    "split": ("split", "subset", "partition", "fold"),
}
SEVERAL = 3
"""Words that make a text of a caption rather than a name or a label."""
LETTERS_A_WORD = {"CJK": 2, "HIRAGANA": 2, "KATAKANA": 4, "THAI": 3, "LAO": 3, "KHMER": 3, "MYANMAR": 3}
"""Scripts that put no spaces between words, as Unicode's names of letters begin -> letters that count as a word."""
FILES = ("file_name", "filename", "filepath", "file_path", "path", "file", "name")
"""Names of columns that hold some file; its suffix says of which kind."""
LOOK = 200
"""Rows that are looked at to tell what a column holds."""


def file_kinds() -> tuple[str, ...]:
    """The kinds whose raw things are files: all but text."""
    return tuple(kind for kind in MODALITIES if kind != "text")


def kind_of(name: str) -> str | None:
    """The kind of a file by its suffix; of two kinds with one suffix the first has it: a GIF alone is a picture."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((kind for kind, modality in MODALITIES.items() if suffix in modality.suffixes), None)


def understand(
    where: object,
    rows: Sequence[Mapping[str, Any]],
    given: Given | None = None,
    words: Mapping[str, Iterable[Any]] | None = None,
) -> Columns:
    """The columns of a table of which `rows` are the first. `given` goes before what names and contents say.

    `words`: all different values of each column that `may_split`; without it those of `rows` have to do. A column of which no
    value is a split is metadata. `BadFile` where no column names files or captions, or none of the values of a column that is
    given for "split" is one; `UnknownName` where `given` names what there is not.
    """
    columns = list(dict.fromkeys(name for row in rows[:LOOK] for name in row))
    said = _given(where, columns, given or {})
    free = [name for name in columns if not any(name in names for names in said.values())]
    out = _by_name(free, [role for role in _roles() if role not in said])
    _by_content(rows, free, out, [kind for kind in file_kinds() if kind not in said])
    if "split" in out and not _are_splits(rows, out["split"][0], words):
        del out["split"]
    if said.get("split") and not _are_splits(rows, said["split"][0], words):
        raise BadFile(
            f"{where}: columns={{'split': {said['split'][0]!r}}}: nothing in that column is a split: expected "
            f"{', '.join(SIDES)}; "
            'to leave it aside: columns={"split": []}'
        )
    if not out.get("text") and "text" not in said:
        out["text"] = _free_text(rows, [name for name in free if not any(name in names for names in out.values())])
    out |= said
    out = {role: out[role] for role in _roles() if out.get(role)}
    if not out.keys() - set(ROLES):
        raise BadFile(
            f"{where}: no column names files or captions. Its columns: {', '.join(columns) or 'none'}. Expected one of "
            f"{', '.join(_names(kind)[0] for kind in (*file_kinds(), 'text'))}, or a column of file names; "
            'or say which it is: columns={"image": "my_column"} (on the command line: --columns image=my_column)'
        )
    return out


def told(columns: Columns) -> str:
    """The sentence that says how the columns were understood."""
    return ", ".join(f"{kind} from {' and '.join(names)}" for kind, names in columns.items())


def spoken(given: Given | None) -> dict[str, list[str]] | None:
    """What the user says of the columns, as JSON."""
    return None if given is None else {role: [one] if isinstance(one, str) else list(one) for role, one in given.items()}


def values(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """The texts in some columns of a row; a list in JSON is several, blank and null are none. Of an object with a `path`, as
    Hugging Face writes files, it is the path; of another object nothing."""
    for name in names:
        value = row.get(name)
        for one in value if isinstance(value, list) else [value]:
            text = one.get("path") if isinstance(one, dict) else one
            if text is not None and str(text).strip():
                yield str(text).strip()


def is_object(value: Any) -> bool:
    """Whether a value is a JSON object that is no file, or a list with one."""
    return any(isinstance(one, dict) and not one.get("path") for one in (value if isinstance(value, list) else [value]))


def may_split(columns: Iterable[str], given: Given | None = None) -> list[str]:
    """The columns that may say which split a row is in: by their names, or as the user says."""
    said = (given or {}).get("split", ())
    names = (said,) if isinstance(said, str) else said
    return [name for name in columns if name in names or _stem(_plain(name)) in NAMES["split"]]


def _roles() -> tuple[str, ...]:
    return ("id", *file_kinds(), "text", "group", "split")


def _names(role: str) -> tuple[str, ...]:
    """The names that say it; a kind of the user's own goes by its name, with _path, _file and so on."""
    return NAMES.get(role) or (role, *(f"{role}_{what}" for what in ("path", "file", "name", "filename")))


def _given(where: object, columns: list[str], given: Given) -> Columns:
    out: Columns = {}
    for role, names in given.items():
        if role not in _roles():
            raise UnknownName(f"{where}: columns={{{role!r}: …}}: there is no such kind.{nearest(role, _roles())}")
        out[role] = [names] if isinstance(names, str) else list(names)
        for name in out[role]:
            if name not in columns:
                raise UnknownName(f"{where}: there is no column {name!r} for {role!r}.{nearest(name, columns)}")
    return out


def _by_name(columns: list[str], roles: list[str]) -> Columns:
    plain = {name: _plain(name) for name in columns}
    out: Columns = {}
    for role in roles:
        names = _names(role)
        best = min((names.index(stem) for p in plain.values() if (stem := _stem(p)) in names), default=None)
        if best is not None:
            out[role] = [name for name in columns if _stem(plain[name]) == names[best]]
    return out


def _by_content(rows: Sequence[Mapping[str, Any]], columns: list[str], out: Columns, kinds: list[str]) -> None:
    """A column may hold what its name does not say: a picture in a column called "text" is a picture."""
    said = {name: kind for kind, names in out.items() for name in names}
    held = {name: _held(rows, name, said.get(name)) for name in columns}
    for kind in kinds:
        holds = [name for name in columns if held[name] == kind]
        named = [name for name in out.get(kind, []) if name in holds]
        generic = [name for name in holds if _plain(name) in FILES]
        unsaid = [name for name in holds if said.get(name) not in ROLES]  # an id may look like a file, and be no more than that
        if chosen := named or generic[:1] or unsaid[:1]:
            out[kind] = chosen
            for other in out.keys() - {kind}:
                out[other] = [name for name in out[other] if name not in chosen]


def _free_text(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> list[str]:
    """The one column of free text, whatever its name is (`Beschreibung`): most of its values are of `SEVERAL` words and more,
    and most of them are different. None where there is no such column, or a choice of them."""
    found = []
    for name in columns:
        texts = [v for row in rows[:LOOK] if isinstance(v := row.get(name), str) and v.strip()]
        long = {text for text in texts if words_in(text) >= SEVERAL}
        found += [name] if len(long) > len(texts) / 2 else []
    return found if len(found) == 1 else []


def words_in(text: str) -> int:
    """About how many words a text has: what stands between spaces, and of scripts without spaces so many letters a word."""
    words, spaced, unspaced = 0, False, Counter[str]()
    for letter in f"{text} ":
        if letter.isspace():
            words, spaced = words + spaced, False
        elif letter.isalpha():
            script = "" if letter < "\u0e00" else unicodedata.name(letter, "").split(" ")[0].partition("-")[0]
            if script in LETTERS_A_WORD:
                unspaced[script] += 1
            else:
                spaced = True
    return words + math.ceil(sum(n / LETTERS_A_WORD[script] for script, n in unspaced.items()))


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _stem(name: str) -> str:
    return re.sub(r"_?\d+$", "", name)


def _held(rows: Sequence[Mapping[str, Any]], column: str, said: str | None) -> str | None:
    """The kind of file that nearly all values of a column name by their suffix; where that leaves a choice (a GIF), what the
    name of the column says."""
    found = [v.get("path") if isinstance(v, dict) else v for v in (row.get(column) for row in rows[:LOOK])]
    texts = [v for v in found if isinstance(v, str) and v.strip()]
    suffixes = [PurePosixPath(v.strip().partition("?")[0] if "://" in v else v.strip()).suffix.lower() for v in texts]
    for kind in sorted(file_kinds(), key=lambda kind: kind != said):
        if texts and sum(suffix in MODALITIES[kind].suffixes for suffix in suffixes) >= 0.9 * len(texts):
            return kind
    return None


def _are_splits(rows: Sequence[Mapping[str, Any]], column: str, words: Mapping[str, Iterable[Any]] | None) -> bool:
    """Whether a column says train, validation or test anywhere; one with other words only is metadata."""
    said = words[column] if words is not None else (row.get(column) for row in rows)
    return any(known(str(value)) for value in said if value is not None)
