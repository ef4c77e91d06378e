"""Rows of a table as items: rows that name the same files are one item with several captions."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item
from sensorium.data.columns import Columns, file_kinds, is_object, values
from sensorium.data.listing import Problem, captions_of, problem
from sensorium.data.remote import Remote, is_address
from sensorium.data.sides import known, told_torn

Row = tuple[int, Mapping[str, Any]]
"""(line number, column -> value)."""
Files = tuple[tuple[str, ...], ...]
"""(kind, the files that a row names for it …) for each kind of file."""


@dataclass
class _Making:
    """An item in the making, and the values that were told already: five captions of an absent picture are one problem."""

    raws: dict[str, list[Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Reader:
    """How the rows of one manifest become items. `check`: absent files are problems; else they are left to the reading.
    `sides`: what each word in its split column means (`sides.meanings`)."""

    where: Path | Remote
    columns: Columns
    check: bool
    sides: Mapping[str, str] = field(default_factory=dict)

    def key(self, row: Row) -> tuple[Any, Files]:
        """What rows of one item have in common, and the files that this one names."""
        files = tuple((kind, *values(row[1], self.columns.get(kind, ()))) for kind in file_kinds())
        given = next(values(row[1], self.columns.get("id", ())), None)
        return given if given is not None else files if any(len(f) > 1 for f in files) else row[0], files

    def items(self, rows: Sequence[Row], problems: list[Problem]) -> list[Item]:
        """All items of some rows, in the order of their first rows; those that are left with nothing are not among them."""
        made: dict[Any, tuple[str, list[Row]]] = {}
        keys = [self.key(row) for row in rows]
        taken = {key for key, _ in keys if isinstance(key, str)}  # ids that are given go before those that are made
        for row, (key, files) in zip(rows, keys, strict=True):
            problems += self._objects(row)
            if key not in made:
                id = key if isinstance(key, str) else _free_id(self.where.stem, files, row[0], taken)
                taken.add(id)
                made[key] = (id, [])
            made[key][1].append(row)
        found = [self.item(id, group, problems) for id, group in made.values()]
        for role in ("split", "group"):
            problems += told_torn(self.where, role, [torn for id, group in made.values() for torn in self._torn(id, role, group)])
        return [item for item in found if item.raws]

    def item(self, id: str, rows: Sequence[Row], problems: list[Problem]) -> Item:
        """The item of the rows that belong to it; what it cannot have is told in `problems`."""
        making = _Making()
        for line, row in rows:
            for kind in (*file_kinds(), "text"):
                for value in values(row, self.columns.get(kind, ())):
                    self._add(making, kind, value, line, id, problems)
        line, first = rows[0]
        understood = {name for names in self.columns.values() for name in names}
        cells = ((name, kept(value)) for name, value in first.items() if name not in understood)
        metadata = {name: value for name, value in cells if value is not None}
        if known(str(metadata.get("split", ""))):
            del metadata["split"]  # a column that was left aside must not decide
        if side := self.side(first):
            metadata["split"] = side
        group = next(values(first, self.columns.get("group", ())), "")
        return Item(id, {kind: tuple(raws) for kind, raws in making.raws.items()}, metadata, group, line)

    def side(self, row: Mapping[str, Any]) -> str:
        """The split that a row says it belongs to, as `sides` has it; "" where it says none that we know."""
        return self.sides.get(next(values(row, self.columns.get("split", ())), ""), "")

    def _objects(self, row: Row) -> list[Problem]:
        """What is told of JSON objects without a path in columns that were understood: they are neither files nor captions."""
        line, cells = row
        found = [name for names in self.columns.values() for name in names if is_object(cells.get(name))]
        cause = "an object, expected a text or a list of texts: that value is left out"
        return [Problem(str(self.where), "manifest", f"line {line}: column {name!r}: {cause}") for name in found]

    def _torn(self, id: str, role: str, rows: Sequence[Row]) -> list[tuple[str, int, int]]:
        """The item, its first line and one that says another split or group, where there is such a line."""
        said = [(line, next(values(row, self.columns.get(role, ())), "")) for line, row in rows]
        said = [(line, known(word) if role == "split" else word) for line, word in said]
        return [(id, said[0][0], line) for line, word in said if word != said[0][1]][:1]

    def _add(self, making: _Making, kind: str, value: str, line: int, id: str, problems: list[Problem]) -> None:
        """Adds a file or caption to an item, or tells why not, once."""
        raws = making.raws.get(kind, [])
        if kind == "text" and not names_caption_file(value):
            making.raws[kind] = [*raws, value]
            return
        source = Remote(value) if is_address(value) else self.where.parent / value
        if value in making.refused or (kind != "text" and source in raws):
            return
        try:
            making.raws[kind] = [*raws, *(captions_of(source) if kind == "text" else self._file(source, raws, line, id))]
        except BadFile as error:
            making.refused.add(value)
            problems.append(problem(error, source, kind))

    def _file(self, source: Path | Remote, raws: list[Any], line: int, id: str) -> tuple[Path | Remote]:
        if raws:
            raise BadFile(f"{source}: ignored: line {line} of {self.where.name}; {raws[0].name} is used for {id!r}")
        if self.check and isinstance(source, Path) and not os.path.isfile(source):  # Path.is_file raises where a name is long
            raise BadFile(f"{source}: absent, though line {line} of {self.where.name} names it")
        return (source,)


def kept(value: Any) -> Any:
    """A cell of a table as metadata, which JSON has: None for NaN and infinity, dates and times as ISO 8601 has them, decimals as
    numbers; inside lists and objects too."""
    if isinstance(value, date | time):
        return value.isoformat()
    value = float(value) if isinstance(value, Decimal) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: kept(one) for name, one in value.items()}
    return [kept(one) for one in value] if isinstance(value, list) else value


def names_caption_file(value: str) -> bool:
    return value.lower().endswith(".txt") and " " not in value


def stem(name: str) -> str:
    """The name of a file without its suffix, and without a `./` before it."""
    name = name if is_address(name) else PurePosixPath(name).as_posix()
    return re.sub(r"([^/])\.[^./]+$", r"\1", name)


def _free_id(manifest: str, files: Files, line: int, taken: set[str]) -> str:
    """A name for an item that has none: that of its first file, without the suffix where that is still free."""
    first = next((f[1] for f in files if len(f) > 1), None)
    if first is None:
        return f"{manifest}-{line:06d}"
    name = first if is_address(first) else PurePosixPath(first).as_posix()
    return next(id for id in (stem(first), name, f"{name}-{line:06d}") if id not in taken)
