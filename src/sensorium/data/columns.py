"""What the columns of a table hold: understood by their names and by what is in them, or as the user says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from sensorium.core.errors import BadFile, UnknownName, nearest
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
FILES = ("file_name", "filename", "filepath", "file_path", "path", "file", "name")
"""Names of columns that hold some file; its suffix says of which kind."""
LOOK = 200
"""Rows that are looked at to tell what a column holds."""
SIDES = {
    **{"train": "train", "training": "train", "validation": "validation", "valid": "validation"},
    **{"val": "validation", "dev": "validation", "test": "test", "testing": "test"},
}
"""The ways in which data sets call their splits."""


def file_kinds() -> tuple[str, ...]:
    """The kinds whose raw things are files: all but text."""
    return tuple(kind for kind in MODALITIES if kind != "text")


def kind_of(name: str) -> str | None:
    """The kind of a file by its suffix; of two kinds with one suffix the first has it: a GIF alone is a picture."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((kind for kind, modality in MODALITIES.items() if suffix in modality.suffixes), None)


def understand(where: object, rows: Sequence[Mapping[str, Any]], given: Given | None = None) -> Columns:
    """The columns of a table of which `rows` are the first. `given` goes before what names and contents say.

    `BadFile` where no column names files or captions, `UnknownName` where `given` names what there is not.
    """
    columns = list(dict.fromkeys(name for row in rows[:LOOK] for name in row))
    said = _given(where, columns, given or {})
    free = [name for name in columns if not any(name in names for names in said.values())]
    out = _by_name(free, [role for role in _roles() if role not in said])
    _by_content(rows, free, out, [kind for kind in file_kinds() if kind not in said])
    if "split" in out and not _are_splits(rows, out["split"][0]):
        del out["split"]
    out |= said
    out = {role: out[role] for role in _roles() if out.get(role)}
    if not out.keys() - set(ROLES):
        raise BadFile(
            f"{where}: no column names files or captions. Its columns: {', '.join(columns) or 'none'}. Expected one of "
            f"{', '.join(_names(kind)[0] for kind in (*file_kinds(), 'text'))}, or a column of file names; "
            'or say which it is: columns={"image": "my_column"}'
        )
    return out


def told(columns: Columns) -> str:
    """The sentence that says how the columns were understood."""
    return ", ".join(f"{kind} from {' and '.join(names)}" for kind, names in columns.items())


def values(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """The texts in some columns of a row; a list in JSON is several, blank and null are none."""
    for name in names:
        value = row.get(name)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and str(one).strip():
                yield str(one).strip()


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


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _stem(name: str) -> str:
    return re.sub(r"_?\d+$", "", name)


def _held(rows: Sequence[Mapping[str, Any]], column: str, said: str | None) -> str | None:
    """The kind of file that nearly all values of a column name by their suffix; where that leaves a choice (a GIF), what the
    name of the column says."""
    texts = [v for row in rows[:LOOK] if isinstance(v := row.get(column), str) and v.strip()]
    suffixes = [PurePosixPath(v.strip().partition("?")[0] if "://" in v else v.strip()).suffix.lower() for v in texts]
    for kind in sorted(file_kinds(), key=lambda kind: kind != said):
        if texts and sum(suffix in MODALITIES[kind].suffixes for suffix in suffixes) >= 0.9 * len(texts):
            return kind
    return None


def _are_splits(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether a column that is called so says train, validation or test; one with other words in it is metadata."""
    words = {str(value).strip().lower() for row in rows[:LOOK] if (value := row.get(column)) not in (None, "")}
    return bool(words) and words <= SIDES.keys()
