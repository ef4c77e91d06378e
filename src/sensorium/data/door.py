"""The one door by which data come in: `sensorium.data.open`."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from sensorium.core.protocols import Item, Modality
from sensorium.data.columns import Given
from sensorium.data.fields import fields_for
from sensorium.data.folder import Folder
from sensorium.data.layout import scan
from sensorium.data.mixture import Mixture
from sensorium.data.remote import is_address

LOOK = 5000
"""Of lazy items as many, evenly spaced, are looked at for the fields that suit them."""


@overload
def open(uri: Path | str, fields: Sequence[Modality] | None = None, *, columns: Given | None = None) -> Folder: ...
@overload
def open(
    uri: Sequence[Path | str],
    fields: Sequence[Modality] | None = None,
    *,
    columns: Given | None = None,
    weights: Sequence[float] | None = None,
) -> Mixture: ...
def open(
    uri: Path | str | Sequence[Path | str],
    fields: Sequence[Modality] | None = None,
    *,
    columns: Given | None = None,
    weights: Sequence[float] | None = None,
) -> Folder | Mixture:
    """What lies behind a path or an address as a source; its fields are made to suit its files unless they are given.

    `uri`: a folder, a manifest (.csv, .tsv, .jsonl, .parquet), tar shards (`train-{000..009}.tar`), a Hugging Face data set on
    disk, or an address (`s3://bucket/photos`) of a folder or manifest; see `scan`. `columns` says which column of a table
    holds what: `{"image": "pic", "text": "beschreibung"}`. Of several a `Mixture` is made, whose `order` draws from them by
    `weights`. `BadFile` where there is nothing to read.
    """
    if isinstance(uri, Path | str):
        if weights is not None:
            raise ValueError(
                f"weights={list(weights)} for a single source: several have them, as in open([a, b], weights=[2, 1])"
            )
        listing = scan(uri, columns)
        return Folder(listing.items, fields_for(_some(listing.items)) if fields is None else fields, listing.problems)
    if len({whole(one) for one in uri}) != len(uri) or not uri:
        raise ValueError(f"sources {[str(one) for one in uri]}: expected at least one, and each once (weights say how often)")
    listings = {str(one): scan(one, columns) for one in uri}
    if fields is None:
        fields = fields_for([item for listing in listings.values() for item in _some(listing.items)])
    return Mixture({name: Folder(one.items, fields, one.problems) for name, one in listings.items()}, weights)


def whole(uri: Path | str) -> str:
    """The path or address as it is called from any directory."""
    return str(uri) if isinstance(uri, str) and is_address(uri) else str(Path(uri).resolve())


def _some(items: Sequence[Item]) -> Sequence[Item]:
    """All items where they are made already, else some of them, evenly spaced."""
    return items if isinstance(items, tuple) else [items[i] for i in range(0, len(items), -(-len(items) // LOOK))]
