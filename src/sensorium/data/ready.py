"""A user's raw things made ready for a model, in batches of few sizes."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import jax
import numpy as np

from sensorium.core.batch import Batch, stack
from sensorium.core.protocols import Modality, Raw
from sensorium.data.folder import opened
from sensorium.modalities.text import Text

T = TypeVar("T")
U = TypeVar("U")
ROWS = (1, 8, 64)
"""The sizes of batch that are compiled: any number of things is cut into these, and the last one filled up."""
LENGTHS = (16, 32, 64, 128, 256)
"""The lengths of texts that are compiled, beside the whole one: filling costs as much as words do, and most texts are short."""
AT_ONCE = 4096
"""Texts that are held at once, ready."""
READERS = min(8, os.cpu_count() or 1)
"""Threads that read files: decoders of pictures, sounds and films run side by side."""


def listed(raw: Raw | list[Raw]) -> list[Raw]:
    return raw if isinstance(raw, list) else [raw]


def read(batch: Batch) -> Batch:
    """What of a batch models read."""
    return {key: x for key, x in batch.items() if key.rpartition("/")[2] not in ("id", "here") and key != "group"}


def prepared(field: Modality, raws: Sequence[Raw]) -> Batch:
    """What a field makes of raw things, all that there is to a batch."""
    if not raws:
        return {key: x[None][:0] for key, x in field.blank().items()}
    if field.kind == Text.kind:  # that is Python's work, of which it does one thing at a time
        return stack([field.prepare(opened(raw)) for raw in raws])
    return stack(side_by_side(lambda raw: field.prepare(opened(_here(raw))), raws))


def _here(raw: Raw) -> Raw:
    """Arrays of a device, and those of a pair (array, rate), as NumPy's, which is what modalities take."""
    if isinstance(raw, tuple):
        return tuple(_here(part) for part in raw)
    return np.asarray(raw) if isinstance(raw, jax.Array) else raw


def side_by_side(work: Callable[[T], U], things: Sequence[T]) -> list[U]:
    """What `work` makes of each, in their order, by several threads; the first error is raised."""
    if min(len(things), READERS) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(len(things), READERS)) as pool:
        return list(pool.map(work, things))


def begun(things: Iterable[T]) -> Iterator[T]:
    """Each of some things that are at work once they are there, given when the next one has begun: so that what is made ready
    for one goes on beside the work of another."""
    rest = iter(things)
    for last in rest:
        for next_ in rest:
            yield last
            last = next_
        yield last


def cuts(n: int) -> Iterator[tuple[int, int]]:
    """(start, size of batch) of the pieces of `n` things: the largest size while it is filled, then the least for the rest."""
    start = 0
    while start < n:
        size = next((rows for rows in ROWS if rows >= n - start), ROWS[-1])
        yield start, size
        start += size


def batched(field: Modality, raws: Sequence[Raw], shorten: bool = False) -> Iterator[tuple[np.ndarray, Batch, int]]:
    """(which of the raw things, what the field makes of them, the size to fill up to), until all have been.

    `shorten`: texts without the filling after them, each at the least of `LENGTHS` that holds it, whatever is beside it.
    """
    if not shorten:
        for start, size in cuts(len(raws)):
            rows = np.arange(start, min(start + size, len(raws)))
            yield rows, prepared(field, raws[start : start + size]), size
        return
    for first in range(0, len(raws), AT_ONCE):
        batch = read(prepared(field, raws[first : first + AT_ONCE]))
        mask = batch[f"{field.name}/mask"]
        used = np.where(mask.any(axis=1), mask.shape[1] - np.argmax(mask[:, ::-1], axis=1), 1)
        whole = np.array([length for length in LENGTHS if length < mask.shape[1]] + [mask.shape[1]])
        of = np.searchsorted(whole, used)
        for i, length in enumerate(whole):
            alike = np.flatnonzero(of == i)
            for start, size in cuts(len(alike)):
                rows = alike[start : start + size]
                yield first + rows, {key: x[rows, :length] for key, x in batch.items()}, size
