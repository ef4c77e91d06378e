"""`sensorium collection`: what a collection holds, moved to another place, made fast, written as plain files and read back."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sensorium.cli import problems
from sensorium.cli.main import WrongUsage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium collection info photos.collection
sensorium collection push photos.collection s3://bucket/photos
sensorium collection push photos.collection small.collection --precision int8
sensorium collection optimize photos.collection
sensorium collection export photos.collection photos.parquet
sensorium collection import photos.parquet photos.collection
sensorium collection evaluate photos.collection --relevance judged.csv"""
_TWO = ("push", "export", "import")
_CALLED = {"map": "mAP", "ndcg@10": "nDCG@10", "median_rank": "median rank"}


def collection(
    action: Annotated[Literal["info", "push", "optimize", "export", "import", "evaluate"], tyro.conf.Positional],
    place: Annotated[str, tyro.conf.Positional],
    to: Annotated[str | None, tyro.conf.Positional] = None,
    *,
    relevance: Path | None = None,
    queries: Path | None = None,
    within: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    rerank: int | None = None,
    model: str | None = None,
    precision: Literal["f32", "f16", "int8", "binary"] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Say what a collection holds, move it, make it fast, write it as files that everybody reads, make one of these, or measure
    how well it answers queries whose right items you know.

    Args:
        action: info: what is in it. push: make TO hold the same, and verify counts, checksums and recall. optimize: tidy up,
            and build or refresh what makes searching fast. export: write TO, a .parquet file, a folder of NPZ and
            JSONL, or one whose name ends in .faiss. import: make the collection TO of what export, or `sensorium embed`, wrote.
            evaluate: recall, median rank, mAP and nDCG of the queries of --relevance, with 95 % intervals and chance.
        place: A collection; for import, what export or embed wrote.
        to: Where it goes.
        relevance: Which items are right for which query: CSV, TSV, JSONL or Parquet with the columns query (what one would type
            into `sensorium search`; its files lie beside this one), item (an id or a path) and perhaps grade (0 is wrong).
        queries: Where queries are called by ids in --relevance: what they are, `id<TAB>query` a line, or JSON lines with _id and
            text. --relevance may then be a qrels of TREC.
        within: A field to search, may be given several times; by default those that the query itself does not have.
        rerank: Measure what ranking so many of the first hits anew by their tokens gives, as `sensorium search --rerank` does it.
        model: The model that made the collection, if it is no longer where it was then.
        precision: Of push: how TO keeps vectors, by default as PLACE does; the recall is then that beside PLACE's.
        overwrite: Of push: replace the collection of another folder that TO holds.
    """
    if precision is not None and action != "push":
        raise WrongUsage(f"{action} takes no --precision: push does")
    if overwrite and action != "push":
        raise WrongUsage(f"{action} takes no --overwrite: push does")
    if action == "evaluate":
        if relevance is None or to is not None:
            raise WrongUsage("evaluate takes a collection and --relevance FILE: sensorium collection --help")
        return {"action": action, "collection": place, **_evaluate(place, relevance, queries, within, rerank, model)}
    if relevance or queries or within or rerank or model:
        raise WrongUsage(f"--relevance, --queries, --within, --rerank and --model are for evaluate, not for {action}")
    if (action in _TWO) != (to is not None):
        raise WrongUsage(f"{action} takes {'two places' if action in _TWO else 'one place'}: sensorium collection --help")
    push = partial(_push, precision=precision, overwrite=overwrite)
    verbs = {"info": _info, "push": push, "optimize": _optimize, "export": _export, "import": _import}
    made = verbs[action](place, to or "")
    return {"action": action, "collection": place, "to": to, **made}


def show(result: dict[str, Any], console: "Console") -> None:
    from rich.markup import escape

    if result["action"] == "evaluate":
        return _table(result, console)
    for name, value in result.items():
        if value is None or name in ("action", "problems"):
            continue
        told = ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
        console.print(f"{name}: {escape(str(told))}", highlight=False, soft_wrap=True)
    problems.tell(console, "problems", result.get("problems", ()))


def _info(place: str, to: str) -> dict[str, Any]:
    from dataclasses import asdict

    from sensorium.search import Collection
    from sensorium.search.facts import names
    from sensorium.search.kept import costs, words

    opened = Collection.open(place)
    about = opened.store.about
    return {
        "items": len(opened),
        "fields": opened.counts,
        "rows": opened.store.count(),
        "filters": names(opened.store.schema),
        "model": opened.model_path,
        "fingerprint": opened.fingerprint,
        "root": about["root"],
        "made": about.get("made"),
        "complete": bool(about.get("complete")),
        "version": opened.store.version,
        "centred": about.get("centred"),
        "vectors": {name: words(one) for name, one in costs(opened.store).items()},
        "indexes": {name: f"{one['kind']}, recall@10 {one['recall']:.3f}" for name, one in about.get("indexes", {}).items()},
        "problems": [asdict(problem) for problem in opened.problems],
    }


def _push(place: str, to: str, precision: str | None, overwrite: bool) -> dict[str, Any]:
    from sensorium.cli.training import counting
    from sensorium.search import Collection
    from sensorium.search.moving import push
    from sensorium.search.places import store_at

    opened = Collection.open(place)
    with counting("pushing", opened.store.count()) as advance:
        return push(opened.store, store_at(to, create=True), advance, precision, overwrite)


def _optimize(place: str, to: str) -> dict[str, Any]:
    from sensorium.search import Collection

    store = Collection.open(place).store
    made = {name: index._asdict() for name, index in store.optimize().items()}
    store.describe(store.about | {"indexes": made})
    return {"indexes": made}


def _export(place: str, to: str) -> dict[str, Any]:
    from sensorium.search import Collection
    from sensorium.search.files import export

    return {"rows": export(Collection.open(place).store, Path(to))}


def _import(place: str, to: str) -> dict[str, Any]:
    from sensorium.bulk.read import gather
    from sensorium.bulk.spec import read_told
    from sensorium.search.files import load
    from sensorium.search.places import store_at

    read = load if read_told(place) is None else gather
    return {"rows": read(Path(place), store_at(to, create=True))}


def _evaluate(
    place: str, relevance: Path, queries: Path | None, within: tuple[str, ...], rerank: int | None, model: str | None
) -> dict[str, Any]:
    import sensorium
    from sensorium.cli import device
    from sensorium.cli.search import model_place
    from sensorium.cli.training import counting
    from sensorium.search import Collection
    from sensorium.search.judged import evaluate
    from sensorium.search.relevance import items, read

    device.prepare()
    opened = Collection.open(place)
    judged = items(opened, read(relevance, queries), relevance)
    loaded = sensorium.load(model_place(opened, model))
    if rerank is not None and rerank < 1:
        raise WrongUsage(f"--rerank {rerank}: say how many of the first hits to rank anew, 1 or more")
    told = {"relevance": str(relevance), "rerank": rerank, "queries_file": None if queries is None else str(queries)}
    with counting("asking", len(judged)) as advance:
        return told | evaluate(
            opened, loaded, judged, within=within or None, root=relevance.parent, rerank=rerank, progress=advance
        )


def _table(result: dict[str, Any], console: "Console") -> None:
    """A row a metric, with its interval and chance: in percent but for the median rank."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    told = result["metrics"]
    grid = Table("", "", "95 %", "chance", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("recall@1", "recall@5", "recall@10", "median_rank", "map", "ndcg@10"):
        factor, digits = (1, 1) if name == "median_rank" else (100, 1)
        value, low, high = (f"{factor * told[name + part]:.{digits}f}" for part in ("", "/low", "/high"))
        chance = f"{100 * told[f'{name}/chance']:.2g}" if f"{name}/chance" in told else ""
        grid.add_row(_CALLED.get(name, name.replace("recall", "R")), value, f"{low}–{high}", chance)
    console.print(grid)
    console.print(f"{result['queries']} queries of {escape(result['relevance'])} on {result['gallery']} items", highlight=False)
    if result["unreachable"]:
        console.print(
            f"[yellow]{result['unreachable']} right items have no vector of a field that is searched[/]", highlight=False
        )
