"""Several sources looked at as one, so that copies and splits are checked across them."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item
from sensorium.data.columns import Given
from sensorium.data.layout import NoTable, scan
from sensorium.data.listing import Listing
from sensorium.data.remote import Remote, is_address


def scan_all(uris: Sequence[Path | str], columns: Given | None = None) -> Listing:
    """The items of several sources, one source after the other: a `Listing` whose `sources` are their labels, in their order.

    The id of an item begins with the label of its source and a slash. It is split as in its source alone: what has no group
    there gets its id as its group, so that equal ids in two sources (a folder, and a manifest of it) are on one side.
    `columns` holds for every table among them, of which there has to be one. `BadFile` where one is named twice,
    or none is given.
    """
    wholes = [str(uri) if is_address(str(uri)) else str(Path(uri).resolve()) for uri in uris]
    twice = next((str(uri) for i, uri in enumerate(uris) if wholes[i] in wholes[:i]), None)
    if twice is not None or not uris:
        raise BadFile(f"{twice}: named twice: give each source once (weights say how often)" if uris else "no source is given")
    listings = _scanned(uris, columns)
    names = labels(uris)
    items = [_within(name, item) for name, listing in zip(names, listings, strict=True) for item in listing.items]
    roots = [listing.root for listing in listings]
    here = [root for root in roots if isinstance(root, Path)]
    return Listing(
        Path(os.path.commonpath([root.resolve() for root in here])) if len(here) == len(roots) else roots[0],
        tuple(items),
        tuple(problem for listing in listings for problem in listing.problems),
        "; ".join(f"{name}: {listing.layout}" for name, listing in zip(names, listings, strict=True)),
        tuple(file for listing in listings for file in listing.unused),
        sources=names,
    )


def labels(uris: Sequence[Path | str]) -> tuple[str, ...]:
    """A short name for each source, without a slash: that of its file or folder, with a number where it is taken."""
    out: list[str] = []
    for uri in uris:
        name = Remote(uri.rstrip("/")).name if isinstance(uri, str) and is_address(uri) else Path(uri).resolve().name
        plain = re.sub(r"/", "_", name) or "source"
        out.append(next(one for n in count(1) if (one := plain if n == 1 else f"{plain}-{n}") not in out))
    return tuple(out)


def label_of(item: Item) -> str:
    """The label of the source that an item of `scan_all` is of."""
    return item.id.partition("/")[0]


def _scanned(uris: Sequence[Path | str], columns: Given | None) -> list[Listing]:
    """The listing of each; `columns` go to those that have a table."""
    out, without = [], list[NoTable]()
    for uri in uris:
        try:
            out.append(scan(uri, columns))
        except NoTable as error:
            without.append(error)
            out.append(scan(uri))
    if len(without) == len(uris):
        raise without[0]
    return out


def _within(label: str, item: Item) -> Item:
    return replace(item, id=f"{label}/{item.id}", group=item.group or item.id)
