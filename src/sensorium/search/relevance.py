"""A user's own relevance file: which items are right for which query, and how much. Tables of `query,item[,grade]`, those of
BEIR, and qrels of TREC."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from os.path import abspath
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.data import manifest
from sensorium.data.listing import Problem, decoded
from sensorium.search.collection import Collection
from sensorium.search.rows import item_of, key
from sensorium.search.where import Compare, Every, Where

NAMES = {"query": ("query", "query-id"), "item": ("item", "corpus-id"), "grade": ("grade", "score")}
"""What columns are called: as here, or as in BEIR (Thakur et al. 2021)."""
ANY = Compare("part", "=", 0)
_AT_ONCE = 500
_SAID = 80  # characters of a query in an error


@dataclass(frozen=True)
class Judged:
    """A query, the line where it is first asked, and the grade of each item that was judged for it: 0 is wrong."""

    query: str
    line: int
    grades: Mapping[str, float]


def read(path: Path, queries: Path | None = None) -> list[Judged]:
    """The queries of a CSV, TSV, JSONL or Parquet file with columns `query`, `item` and perhaps `grade` (1 where it is empty).

    `queries`: a file that says what the queries are whose ids stand in the column `query`, `id<TAB>query` a line or JSON lines
    with `_id` and `text`; `path` may then be a qrels of TREC too (`id 0 item grade`, in which grades below 0 are 0). `BadFile`
    with the line where something is wrong: too few columns, no grade, an item twice for one query, a query without a right item.
    """
    texts = None if queries is None else _queries(queries)
    trec = texts is not None and _is_trec(path)
    found: dict[str, tuple[int, dict[str, float]]] = {}
    for line, query, item, told in _trec(path) if trec else _rows(path):
        where = f"{path}, line {line}"
        if not query or not item:
            raise BadFile(f"{where}: {'the query' if not query else 'the item'} is empty")
        if texts is not None and query not in texts:
            raise BadFile(f"{where}: {queries} says nothing of a query {query!r}")
        first, grades = found.setdefault(query, (line, {}))
        if item in grades:
            raise BadFile(f"{where}: the item {item!r} was judged for this query before, from line {first} on: keep one")
        grades[item] = _grade(where, told, trec)
    if not found:
        raise BadFile(f"{path}: nothing is judged in it")
    for query, (line, grades) in found.items():
        if not any(grades.values()):
            raise BadFile(f"{path}, line {line}: no item is right for {query[:_SAID]!r} (every grade is 0): leave this query out")
    return [Judged(texts[query] if texts else query, line, grades) for query, (line, grades) in found.items()]


def items(collection: Collection, judged: list[Judged], path: Path) -> list[Judged]:
    """The same with items as the store calls them (`item_of`): each was an id, or a path as the collection has it, or one from
    here. `BadFile` where the collection has none of them, and where two of one query are the same item."""
    asked = {item for one in judged for item in one.grades}
    names = {item: item_of(key(item)) for item in asked}
    having = there(collection, set(names.values()))
    if missing := {item for item in asked if names[item] not in having}:
        root = Path(collection.store.about["root"] or ".")
        places = {place: item for item in missing for place in (item, _inside(item, root))}
        for place, item in _placed(collection):
            if place in places and places[place] in missing:
                names[places[place]] = item
                missing.discard(places[place])
    if missing:
        raise BadFile(_unknown(collection, judged, missing, path))
    out = []
    for one in judged:
        grades: dict[str, float] = {}
        for item, grade in one.grades.items():
            if names[item] in grades:
                raise BadFile(f"{path}, line {one.line}: {item!r} is an item that this query has by another name: keep one")
            grades[names[item]] = grade
        out.append(Judged(one.query, one.line, grades))
    return out


def _rows(path: Path) -> Iterator[tuple[int, str, str, Any]]:
    problems: list[Problem] = []
    rows = manifest.rows_of(path, problems)
    if problems:
        raise BadFile(f"{path}, {problems[0].cause}")
    columns = {role: next((name for name in names if rows and name in rows[0][1]), "") for role, names in NAMES.items()}
    if not columns["query"] or not columns["item"]:
        got = ", ".join(rows[0][1]) if rows else "none"
        raise BadFile(
            f"{path}: its columns are {got}: expected query, item and perhaps grade (query-id, corpus-id and score, or a qrels "
            "of TREC, with --queries)"
        )
    for line, row in rows:
        yield line, _said(row.get(columns["query"])), _said(row.get(columns["item"])), row.get(columns["grade"])


def _said(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _is_trec(path: Path) -> bool:
    """Whether the first line is of a qrels: four words, the last one a whole number."""
    if path.suffix.lower() in (".jsonl", ".ndjson", ".parquet"):
        return False
    first = next(iter(decoded(path.read_bytes(), path).splitlines()), "").split()
    return len(first) == 4 and first[3].lstrip("-").isdigit()


def _trec(path: Path) -> Iterator[tuple[int, str, str, Any]]:
    for line, text in enumerate(decoded(path.read_bytes(), path).splitlines(), 1):
        words = text.split()
        if words and len(words) != 4:
            raise BadFile(f"{path}, line {line}: {len(words)} words: expected four, as in: 301 0 item-7 1")
        if words:
            yield line, words[0], words[2], words[3]


def _grade(where: str, told: Any, trec: bool) -> float:
    if _said(told) == "":
        return 1.0
    try:
        grade = float(told)
    except (TypeError, ValueError):
        grade = math.nan
    if trec and grade < 0:
        return 0.0
    if not 0 <= grade < math.inf or isinstance(told, bool):
        raise BadFile(
            f"{where}: the grade is {told!r}: expected a number from 0, which is wrong, upwards, or nothing, which is 1"
        )
    return grade


def _queries(path: Path) -> dict[str, str]:
    out: dict[str, str] = {}
    for line, text in enumerate(decoded(path.read_bytes(), path).splitlines(), 1):
        if not text.strip():
            continue
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            try:
                one = json.loads(text)
                id, query = _said(one["_id"]), _said(one["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise BadFile(f'{path}, line {line}: expected {{"_id": …, "text": …}}: {error!r}') from error
        else:
            id, _, query = (part.strip() for part in text.partition("\t"))
        if not id or not query or id in out:
            wrong = f"the query {id!r} is there twice" if id in out else "expected an id, a tab and what is asked"
            raise BadFile(f"{path}, line {line}: {wrong}")
        out[id] = query
    return out


def there(collection: Collection, names: Iterable[str], where: Where = ANY) -> set[str]:
    """Which of these items the collection has, and which of them meet a filter of its first rows."""
    out: set[str] = set()
    rest = iter(names)
    while block := tuple(islice(rest, _AT_ONCE)):
        some = Every((ANY, where, Compare("item", "in", block)))
        out |= {item for rows in collection.store.scan(["item"], some) for item in rows["item"].to_pylist()}
    return out


def _inside(item: str, root: Path) -> str:
    """A path from here as the collection has it: from its root, where it is in there."""
    whole = Path(abspath(item))
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)


def _placed(collection: Collection) -> Iterator[tuple[str, str]]:
    """Every file of the collection, as its path is kept, and the item that it is of."""
    for rows in collection.store.scan(["item", "record"], ANY, rows=8192):
        for item, record in zip(rows["item"].to_pylist(), rows["record"].to_pylist(), strict=True):
            yield from ((place, item) for place in json.loads(record)["paths"].values())


def _unknown(collection: Collection, judged: list[Judged], missing: set[str], path: Path) -> str:
    one, item = next((one, item) for one in judged for item in one.grades if item in missing)
    every = [i for rows in collection.store.scan(["item"], ANY) for i in rows["item"].to_pylist()]
    close = get_close_matches(item, every[:10_000], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    more = f" ({len(missing)} of the items that were judged are not there)" if len(missing) > 1 else ""
    told = f"the query {one.query[:_SAID]!r} from line {one.line} on"
    return f"{path}: {told}: the collection has no item {item!r}, by its id or by its path.{hint}{more}"
