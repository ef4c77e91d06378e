"""The one door by which data come in: `sensorium.data.open`."""

from collections.abc import Sequence
from pathlib import Path

from sensorium.core.protocols import Modality
from sensorium.data.fields import fields_for
from sensorium.data.folder import Folder
from sensorium.data.layout import scan


def open(path: Path | str, fields: Sequence[Modality] | None = None) -> Folder:
    """The folder (or manifest) at `path` as a source; its fields are made to suit its files unless they are given."""
    listing = scan(path)
    return Folder(listing.items, fields_for(listing.items) if fields is None else fields, listing.problems)
