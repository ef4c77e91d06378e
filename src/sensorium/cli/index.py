"""`sensorium index`: embeds a folder of files, so that it can be searched."""

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sensorium.cli import columns as mapping

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = "sensorium index photos/ --model runs/photos --out photos.collection"
_SHOWN = 10


def index(folder: tyro.conf.Positional[str], *, model: str, out: Path, columns: mapping.Words = ()) -> dict:
    """Make a folder searchable: a vector for each picture, text, sound and clip in it, and a thumbnail.

    A collection that stands at `out` is replaced, whole and at once. Files that cannot be read are listed and left out.

    Args:
        folder: A folder of files, a manifest, tar shards, a Hugging Face data set on disk, or an address (s3://…).
        model: The folder that `sensorium train` wrote, a published checkpoint's, or its id on the Hub.
        out: Where the collection goes, a folder.
        columns: Which column of a table holds what: text=Beschreibung image=Bild; by default what the model was trained with.
    """
    import sensorium
    from sensorium import data
    from sensorium.cli import device, place
    from sensorium.cli.progress import progress
    from sensorium.search import Collection

    start = time.perf_counter()
    given = mapping.given(columns)
    place.folder(out)
    device.prepare()
    listing = data.scan(folder, mapping.trained_on(model, folder).get("columns") if given is None else given)
    loaded = sensorium.load(model)
    root = listing.root if isinstance(listing.root, Path) else None  # what is elsewhere is called by its whole address
    with progress() as bar:
        task = bar.add_task("indexing", total=len(listing.items), text="")
        collection = Collection.build(
            loaded, listing.items, out, root=root, model_path=model, progress=lambda done: bar.advance(task, done)
        )
    return {
        "collection": str(out),
        "layout": listing.layout,
        "items": len(collection),
        "fields": {name: collection.store.count(name) for name in collection.fields},
        "problems": [asdict(problem) for problem in (*listing.problems, *collection.problems)],
        "seconds": round(time.perf_counter() - start, 2),
    }


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    counts = ", ".join(f"{count} {name}" for name, count in result["fields"].items())
    console.print(f"{result['items']} items ({counts}) in {result['seconds']} s: {escape(result['collection'])}")
    problems = result["problems"]
    if problems:
        console.print(f"[yellow]{len(problems)} problems, left out:[/]")
    for problem in problems[:_SHOWN]:
        console.print(f"  {escape(problem['path'])}: {escape(problem['cause'])}", highlight=False, soft_wrap=True)
    if len(problems) > _SHOWN:
        console.print(f"  and {len(problems) - _SHOWN} more (all with --json)")
    collection = escape(shlex.quote(result["collection"]))
    console.print(f'Next: sensorium search {collection} "…"', style="dim", highlight=False, soft_wrap=True)
