"""How well a collection answers queries whose right items somebody has judged."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from sensorium import metrics
from sensorium.core.errors import SensoriumError
from sensorium.search import late, mixed
from sensorium.search.collection import FIRST, Collection
from sensorium.search.embed import Model
from sensorium.search.reading import Unreadable
from sensorium.search.relevance import Judged, there
from sensorium.search.rows import column, item_of, key
from sensorium.search.where import Compare, Every, Some
from sensorium.search.wording import text_field

DEPTH = 1000
"""Items that are looked at for a query, as trec_eval does. A right one that is not among them counts nowhere."""
KS = (1, 5, 10)
Progress = Callable[[int], None]


class Asked(NamedTuple):
    """What a query is to a collection: a vector, and the fields that it is of."""

    total: Float[np.ndarray, " D"]
    fields: set[str]


def evaluate(
    collection: Collection,
    model: Model,
    judged: Sequence[Judged],
    *,
    within: Sequence[str] | None = None,
    root: Path = mixed.HERE,
    depth: int = DEPTH,
    rerank: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every query as `sensorium search` understands it (words, or a sum of texts and of files from `root`), measured against
    what was judged (of `relevance.items`). `rerank`: so many of the first are ranked anew by their tokens (see `search.late`).

    `metrics` holds R@1, 5 and 10 (the share of queries with a right item among the first k), the median rank of the first right
    item, mAP (right is a grade above 0) and nDCG@10 (grades are gains), each with `/low` and `/high` (95 %, bootstrap over
    queries), and `/chance`, what a random order gives, but for the median rank. Among equal scores right items come last. One
    that is not found among the first `depth` counts nowhere, and as the last place of all for the median. `unreachable`: right
    items that have no vector of the fields that are searched; `each`: the queries one by one, in their order.
    """
    model = collection.check(model)
    reach: dict[tuple[str, ...], tuple[int, set[str]]] = {}
    each: list[dict[str, Any]] = []
    chance: list[list[float]] = []
    known: late.Known = {}
    wanted = {item for one in judged for item in one.grades}
    unreachable: set[str] = set()
    for one, asked in zip(judged, understood(model, judged, root), strict=True):
        fields = tuple(collection.searched(asked.fields, within))
        if fields not in reach:
            reach[fields] = _reach(collection, fields, wanted)
        size, having = reach[fields]
        right = {item: grade for item, grade in one.grades.items() if grade > 0}
        unreachable |= right.keys() - having
        found = collection.ranked(asked.total, asked.fields, depth, within)
        if rerank is not None:
            hits = collection.find(asked.total, asked.fields, rerank, within)
            again = late.rerank(collection, model, terms(model, one, root), hits, rerank, known).hits
            order = dict.fromkeys([*(item_of(key(hit.id)) for hit in again), *(item for item, _ in found)])
            found = [(item, -float(place)) for place, item in enumerate(order)]
        each.append(_measured(one, found, size))
        chance.append(_chance(right, having, size))
        (progress or (lambda n: None))(1)
    told = _summed(each, np.array(chance))
    counts = {"queries": len(each), "gallery": max(size for size, _ in reach.values()), "unreachable": len(unreachable)}
    return {"metrics": told, **counts, "depth": depth, "each": each}


def terms(model: Model, one: Judged, root: Path = mixed.HERE) -> list[mixed.Term]:
    """The parts of a query, each with its weight."""
    if mixed.is_mixed(one.query, model):
        return mixed.terms(one.query, model, root)
    return [mixed.Term(1.0, text_field(model), one.query)]


def understood(model: Model, judged: Sequence[Judged], root: Path = mixed.HERE) -> list[Asked]:
    """The queries as vectors: those of words alone are encoded at once. `SensoriumError` with its line for one that is not
    understood."""
    out: dict[int, Asked] = {}
    for i, one in enumerate(judged):
        if mixed.is_mixed(one.query, model):
            try:
                out[i] = Asked(*mixed.summed(model, mixed.terms(one.query, model, root)))
            except Unreadable as error:
                raise Unreadable(f"the query of line {one.line}: {error}") from error
            except SensoriumError as error:
                raise SensoriumError(f"the query of line {one.line}: {error}") from error
    if words := [i for i in range(len(judged)) if i not in out]:
        field = text_field(model)
        for i, z in zip(words, model.encode(**{field: [judged[i].query for i in words]})[field], strict=True):
            out[i] = Asked(z, {field})
    return [out[i] for i in range(len(judged))]


def _reach(collection: Collection, fields: Sequence[str], wanted: set[str]) -> tuple[int, set[str]]:
    """How many items have a vector of one of the fields, and which of those that are wanted."""
    having = Every((FIRST, Some(tuple(Compare(column("has", name), "=", True) for name in fields))))
    return collection.store.count(having), there(collection, wanted, having)


def _measured(one: Judged, found: Sequence[tuple[str, float]], size: int) -> dict[str, Any]:
    """A query: its first right item's rank, average precision and nDCG@10. Right items that were not found are filled in at
    −∞."""
    scores = dict(found)
    items = [*scores, *(item for item, grade in one.grades.items() if grade > 0 and item not in scores)]
    line = np.array([[scores.get(item, -np.inf) for item in items]])
    grades = np.array([[one.grades.get(item, 0.0) for item in items]])
    best = line[grades > 0].max()
    rank = int(metrics.ranks(line, grades > 0)[0]) if best > -np.inf else None
    precision, gain = metrics.average_precision(line, grades > 0)[0], metrics.ndcg(line, grades, 10)[0]
    told = {"query": one.query, "line": one.line, "rank": rank, "map": float(precision), "ndcg@10": float(gain)}
    return told | {"last": size}


def _chance(right: dict[str, float], having: set[str], size: int) -> list[float]:
    """R@k for each k, mAP and nDCG@10 of a query where the gallery is in random order."""
    grades = np.array([list(right.values())], float)
    reached = [grade for item, grade in right.items() if item in having]
    many = np.array([len(reached)])
    recalls = [metrics.recall_by_chance(many, size, k) for k in KS]
    precision = metrics.average_precision_by_chance(many, np.array([len(right)]), size)
    gain = metrics.ndcg_by_chance(np.array([sum(reached, 0.0)]), grades, size, 10)
    return [*recalls, float(precision[0]), float(gain[0])]


def _summed(each: list[dict[str, Any]], chance: Float[np.ndarray, "Q 5"]) -> dict[str, float]:
    """The metrics over all queries; `last`, the place of what was not found, is taken out of each."""
    last = np.array([one.pop("last") for one in each])
    ranks = np.array([np.inf if one["rank"] is None else one["rank"] for one in each])
    out: dict[str, float] = {}
    for k in KS:
        out |= metrics.measured(f"recall@{k}", ranks <= k)
    out |= metrics.measured("median_rank", np.minimum(ranks, last), np.median)
    for name in ("map", "ndcg@10"):
        out |= metrics.measured(name, np.array([one[name] for one in each]))
    names = [*(f"recall@{k}" for k in KS), "map", "ndcg@10"]
    return out | {f"{name}/chance": float(value) for name, value in zip(names, chance.mean(0), strict=True)}
