"""A user's raw things made ready for a model, in batches of few sizes."""

from collections.abc import Iterator, Sequence

from sensorium.core.batch import Batch, stack
from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened

ROWS = (1, 8, 64)
"""The sizes of batch that are compiled: any number of things is cut into these, and the last one filled up."""


def listed(raw: Raw | list[Raw]) -> list[Raw]:
    return raw if isinstance(raw, list) else [raw]


def read(batch: Batch) -> Batch:
    """What of a batch models read."""
    return {key: x for key, x in batch.items() if key.rpartition("/")[2] not in ("id", "here") and key != "group"}


def prepared(field: Modality, raws: Sequence[Raw]) -> Batch:
    """What a field makes of raw things, all that there is to a batch."""
    if not raws:
        return {key: x[None][:0] for key, x in field.blank().items()}
    return stack([field.prepare(opened(raw)) for raw in raws])


def cuts(n: int) -> Iterator[tuple[int, int]]:
    """(start, size of batch) of the pieces of `n` things: the largest size while it is filled, then the least for the rest."""
    start = 0
    while start < n:
        size = next((rows for rows in ROWS if rows >= n - start), ROWS[-1])
        yield start, size
        start += size
