"""Search by what is written, beside search by what is meant: BM25 over captions and passages, and both ranked as one."""

import json
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csc_array, csr_array

from sensorium.core.errors import SensoriumError
from sensorium.search.collection import FIRST, Collection, Hit
from sensorium.search.embed import Model
from sensorium.search.exact import top
from sensorium.search.facts import columns_of
from sensorium.search.rows import item_of, key
from sensorium.search.where import Compare, Every, Where, parse

K1, B = 1.2, 0.75
RANK = 60
"""Reciprocal rank fusion (Cormack et al. 2009): a hit at rank r of a list counts 1 / (`RANK` + r)."""
MOST = 50_000_000
"""Different words of all items together that are held in memory, 8 bytes each."""
_DEEP = 50


class Wording:
    """The words of all items of a collection, as they are now."""

    def __init__(self, collection: Collection):
        self.collection, self.version = collection, collection.store.version
        self.items: list[str] = []
        self._numbers: dict[str, int] = {}
        columns, counts, ends = array("i"), array("f"), array("i", [0])
        for some in collection.store.scan(["item", "record"], FIRST, rows=8192):  # captions hold the passages too
            for item, record in zip(some["item"].to_pylist(), some["record"].to_pylist(), strict=True):
                said = Counter(words("\n".join(json.loads(record)["captions"])))
                self.items.append(item)
                columns.extend(self._numbers.setdefault(word, len(self._numbers)) for word in said)
                counts.extend(said.values())
                ends.append(len(columns))
            if len(columns) > MOST:
                raise SensoriumError(
                    f"a search by words holds at most {MOST} different words of all items together in memory: the first "
                    f"{len(self.items)} of {len(collection)} items have more. Search without words, or index fewer"
                )
        self._weights = _bm25(np.asarray(columns), np.asarray(counts), np.asarray(ends), len(self._numbers))

    def find(self, text: str, k: int, allowed: set[str] | None = None) -> list[tuple[str, float]]:
        """The `k` items (as the store writes their ids) that say the words of a text best, (item, BM25) each; none that has none
        of them."""
        asked = [self._numbers[word] for word in dict.fromkeys(words(text)) if word in self._numbers]
        scores = np.asarray(self._weights[:, asked].sum(1)).ravel() if asked else np.zeros(len(self.items))
        if allowed is not None:
            scores = np.where([item in allowed for item in self.items], scores, 0)
        best = top(scores.astype(np.float32), k)
        return [(self.items[i], float(scores[i])) for i in best.tolist() if scores[i] > 0]


def _bm25(columns: Int[np.ndarray, " N"], counts: Float[np.ndarray, " N"], ends: Int[np.ndarray, " I1"], many: int) -> csc_array:
    """BM25 of each of `many` words in each item, [items, words], of the items' words in turn, and how often each has them."""
    said = csr_array((counts, columns, ends), shape=(len(ends) - 1, many))
    lengths = said.sum(1)
    usual = 1 - B + B * lengths / max(1e-9, float(lengths.mean()) if len(lengths) else 1.0)
    having = np.bincount(columns, minlength=many)
    rare = np.log1p((len(lengths) - having + 0.5) / (having + 0.5)).astype(np.float32)
    often = counts * (K1 + 1) / (counts + np.repeat((K1 * usual).astype(np.float32), np.diff(ends)))
    return csr_array((rare[columns] * often, columns, ends), shape=said.shape).tocsc()


def words(text: str) -> list[str]:
    """In small letters, without marks."""
    return re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())


def query(
    wording: Wording,
    model: Model,
    text: str,
    k: int = 10,
    within: Sequence[str] | None = None,
    where: Where | str | None = None,
) -> list[Hit]:
    """The items that are near to a text in the space, and those that say its words, ranked as one (see `find`)."""
    name = text_field(model)
    unit = wording.collection.check(model).encode(**{name: [text]})[name][0]
    return find(wording, unit, {name}, text, k, within, where)


def find(
    wording: Wording,
    total: Float[np.ndarray, " D"],
    asked: set[str],
    text: str,
    k: int = 10,
    within: Sequence[str] | None = None,
    where: Where | str | None = None,
) -> list[Hit]:
    """What `Collection.find` gives, and the items that say the words of a text, ranked as one: what is high in either list is
    high, what is in both is higher. Scores are cosines as ever, and so do not fall from hit to hit."""
    collection, deep = wording.collection, max(_DEEP, 4 * k)
    near = collection.find(total, asked, deep, within, where)
    said = [item for item, _ in wording.find(text, deep, _allowed(collection, where))]
    known = {_written(hit): hit for hit in near}
    if missing := tuple(item for item in said if item not in known):
        within = within or collection.fields  # a note has nothing but its text
        more = collection.find(total, asked, len(missing), within, Compare("id", "in", missing))
        known |= {_written(hit): hit for hit in more}
    ranks: dict[str, float] = dict.fromkeys(known, 0.0)
    for order in ([_written(hit) for hit in near], said):
        for rank, item in enumerate((item for item in order if item in ranks), 1):
            ranks[item] += 1 / (RANK + rank)
    return [known[item] for item in sorted(ranks, key=lambda item: (-ranks[item], item))[:k]]


def _written(hit: Hit) -> str:
    return item_of(key(hit.id))


def _allowed(collection: Collection, where: Where | str | None) -> set[str] | None:
    if where is None:
        return None
    condition = columns_of(parse(where) if isinstance(where, str) else where, collection.store.schema)
    return {item for some in collection.store.scan(["item"], Every((FIRST, condition))) for item in some["item"].to_pylist()}


def text_field(model: Model) -> str:
    """The name of the field that reads texts."""
    found = next((field.name for field in model.fields if field.kind == "text"), None)
    if found is None:
        raise SensoriumError("the model reads no texts: a search by words needs one that does")
    return found
