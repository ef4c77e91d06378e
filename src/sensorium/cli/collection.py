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
sensorium collection import photos.parquet photos.collection"""
_TWO = ("push", "export", "import")


def collection(
    action: Annotated[Literal["info", "push", "optimize", "export", "import"], tyro.conf.Positional],
    place: Annotated[str, tyro.conf.Positional],
    to: Annotated[str | None, tyro.conf.Positional] = None,
    precision: Literal["f32", "f16", "int8", "binary"] | None = None,
) -> dict[str, Any]:
    """Say what a collection holds, move it, make it fast, write it as files that everybody reads, or make one of these.

    Args:
        action: info: what is in it. push: make TO hold the same, and verify counts, checksums and recall. optimize: tidy up,
            and build or refresh what makes searching fast. export: write TO, a .parquet file, a folder of NPZ and
            JSONL, or one whose name ends in .faiss. import: make the collection TO of what export, or `sensorium embed`, wrote.
        place: A collection; for import, what export or embed wrote.
        to: Where it goes.
        precision: Of push: how TO keeps vectors, by default as PLACE does; the recall is then that beside PLACE's.
    """
    if precision is not None and action != "push":
        raise WrongUsage(f"{action} takes no --precision: push does")
    if (action in _TWO) != (to is not None):
        raise WrongUsage(f"{action} takes {'two places' if action in _TWO else 'one place'}: sensorium collection --help")
    push = partial(_push, precision=precision)
    verbs = {"info": _info, "push": push, "optimize": _optimize, "export": _export, "import": _import}
    made = verbs[action](place, to or "")
    return {"action": action, "collection": place, "to": to, **made}


def show(result: dict[str, Any], console: "Console") -> None:
    from rich.markup import escape

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
        "vectors": {name: words(one) for name, one in costs(opened.store).items()},
        "indexes": {name: f"{one['kind']}, recall@10 {one['recall']:.3f}" for name, one in about.get("indexes", {}).items()},
        "problems": [asdict(problem) for problem in opened.problems],
    }


def _push(place: str, to: str, precision: str | None) -> dict[str, Any]:
    from sensorium.cli.training import counting
    from sensorium.search import Collection
    from sensorium.search.moving import push
    from sensorium.search.places import store_at

    opened = Collection.open(place)
    with counting("pushing", opened.store.count()) as advance:
        return push(opened.store, store_at(to, create=True), advance, precision)


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
