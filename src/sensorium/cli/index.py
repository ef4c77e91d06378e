"""`sensorium index`: embeds a folder of files, so that it can be searched, and keeps that up to date."""

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from sensorium.cli import columns as mapping
from sensorium.cli import problems
from sensorium.cli.main import WrongUsage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = "sensorium index photos/ --model runs/photos --out photos.collection"


def index(
    folder: tyro.conf.Positional[str],
    *,
    model: str,
    out: str,
    columns: mapping.Words = (),
    anew: bool = False,
    retry: bool = False,
    dims: int | None = None,
    centre: bool = False,
    precision: Literal["f32", "f16", "int8", "binary"] | None = None,
) -> dict:
    """Make a folder searchable: a vector for each picture, text, sound and moment of a film in it, and a thumbnail.

    Called again, it looks at new and changed files only, and removes what has gone. Stopped at any moment, it goes on where it
    was when it is called again. Files that cannot be read are listed and left out.

    Args:
        folder: A folder of files, a manifest, tar shards, a Hugging Face data set on disk, or an address (s3://…).
        model: The folder that `sensorium train` wrote, a published checkpoint's, or its id on the Hub.
        out: Where the collection is, or goes: a folder, or s3://bucket/name.
        columns: Which column of a table holds what: text=Beschreibung image=Bild; by default what the model was trained with.
        anew: Make all of it new, as another model takes; until it is done, searches find what has been done so far.
        retry: Try again what could not be read last time, although it has not changed.
        dims: Keep the first so many numbers of each vector alone, for models that were trained to (Matryoshka).
        centre: Take out of each vector the mean of its kind (of up to 1,000 items), of queries too: closes the modality gap.
        precision: How vectors are kept: 4, 2 or 1 byte a number, or 1 bit. What that loses is measured and told. By default as
            the collection has them, a new one f32.
    """
    import sensorium
    from sensorium import data
    from sensorium.cli import device, place
    from sensorium.cli.training import counting
    from sensorium.data.remote import is_address
    from sensorium.search import Collection
    from sensorium.search.kept import costs
    from sensorium.search.prefix import Prefix

    start = time.perf_counter()
    given = mapping.given(columns)
    if out.startswith("memory:"):
        raise WrongUsage(f"--out {out}: what is in memory goes when this command ends: give a folder, or s3://bucket/name")
    if not is_address(out):
        place.folder(Path(out))
    device.prepare()
    listing = data.scan(folder, mapping.trained_on(model, folder).get("columns") if given is None else given, alone=True)
    loaded = sensorium.load(model)
    reader = loaded if dims is None else Prefix(loaded, dims)
    root = listing.root if isinstance(listing.root, Path) else None  # what is elsewhere is called by its whole address
    with counting("indexing", len(listing.items)) as advance:
        collection = Collection.update(
            reader,
            listing.items,
            out,
            root=root,
            model_path=model,
            progress=advance,
            anew=anew,
            retry=retry,
            precision=precision,
            centre=centre,
        )
    seconds = time.perf_counter() - start
    return {
        "collection": out,
        "layout": listing.layout,
        "items": len(collection),
        "fields": collection.counts,
        "changes": asdict(collection.changes),
        "centred": collection.store.about.get("centred"),
        "vectors": costs(collection.store),
        "indexes": collection.store.about["indexes"],
        "problems": [asdict(problem) for problem in (*listing.problems, *collection.problems)],
        "seconds": round(seconds, 2),
    }


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    from sensorium.search.kept import words

    counts = ", ".join(f"{count} {name}" for name, count in result["fields"].items())
    changes = ", ".join(f"{count} {name}" for name, count in result["changes"].items() if count)
    items = f"{result['items']} item{'' if result['items'] == 1 else 's'}"
    console.print(f"{items} ({counts}) in {result['seconds']} s: {escape(result['collection'])}")
    console.print(changes, highlight=False)
    for name, one in result["vectors"].items():
        if one["recall"] is not None:
            console.print(f"{name}: {words(one)}", highlight=False)
    for name, one in result["indexes"].items():
        if one["kind"] != "exact":
            console.print(f"{name}: {one['kind']} over {one['rows']} vectors, recall@10 {one['recall']:.3f}", highlight=False)
    if result["centred"]:
        told = result["centred"]
        gaps = ", ".join(f"{pair} {length:.2f} to {told['after'][pair]:.2f}" for pair, length in told["gap"].items())
        names = ", ".join(told["fields"])
        console.print(f"centred by {told['items']} items ({names}): gap {gaps or 'of one field'}", highlight=False)
    problems.tell(console, "problems, left out", result["problems"])
    collection = escape(shlex.quote(result["collection"]))
    console.print(f'Next: sensorium search {collection} "…"', style="dim", highlight=False, soft_wrap=True)
