"""`--columns text=Beschreibung image=Bild`: which column of a table holds what, as every verb that reads data takes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from sensorium.cli.main import WrongUsage

Words = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]
"""The words after each `--columns`, which may stand several times."""


def given(said: Sequence[Sequence[str]]) -> dict[str, list[str]] | None:
    """The mapping that `sensorium.data.open` takes; None where nothing was said.

    A kind that is named twice has several columns; `split=` leaves the column of that kind aside. `WrongUsage` where a word is
    no `kind=column`.
    """
    out: dict[str, list[str]] = {}
    for word in (word for words in said for word in words):
        role, equals, column = word.partition("=")
        if not (equals and role.strip()):
            raise WrongUsage(
                f"--columns {word}: expected kind=column, as in --columns text=Beschreibung image=Bild; "
                "what is to be read stands before it"
            )
        columns = out.setdefault(role.strip(), [])
        if column.strip() in columns:
            raise WrongUsage(f"--columns {word}: named twice")
        columns += [column.strip()] if column.strip() else []
    if said and not out:
        raise WrongUsage("--columns: nothing after it: expected kind=column, as in --columns text=Beschreibung image=Bild")
    return out or None


def words(columns: dict[str, list[str]] | None) -> list[str]:
    """The same as it is written on a command line: [] where there is nothing to say."""
    each = [f"{role}={name}" for role, names in (columns or {}).items() for name in (names or [""])]
    return ["--columns", *each] if each else []


def trained_on(model: str, folder: str) -> dict[str, Any]:
    """The arguments of the run of a model that was trained on these very data, perhaps among others; {} where it was not."""
    from sensorium.core.files import read_json
    from sensorium.data.door import whole

    about = Path(model) / "run.json"
    said = read_json(about) if about.is_file() else {}
    arguments = said.get("arguments") if isinstance(said, dict) else None
    path = arguments.get("path") if isinstance(arguments, dict) else None
    places = [path] if isinstance(path, str) else path if isinstance(path, list) else []
    asked = _root(whole(folder))
    return dict(arguments or {}) if any(_root(str(place)) == asked for place in places) else {}


def _root(place: str) -> str:
    """The folder that a folder, or the manifest through which it is read, stands for."""
    from sensorium.data.manifest import STEMS

    path = Path(place)
    return str(path.parent) if path.stem.lower() in STEMS and path.is_file() else place
