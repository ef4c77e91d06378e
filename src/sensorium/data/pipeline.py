"""A source as an endless, shuffled stream of batches, read ahead in threads. Its position is one number: the step."""

from collections.abc import Iterator

import grain
import numpy as np

from sensorium.core.batch import Batch
from sensorium.core.protocols import Source


def batches(source: Source, size: int, steps: int, seed: int = 0, shuffle: bool = True, start: int = 0) -> Iterator[Batch]:
    """Batches `start` … `steps` − 1 of `size` rows each, equal in every run with the same source, size and seed.

    Every epoch has its own order, and of an item's alternatives (its captions) every batch draws anew. With
    `shuffle=False` rows come in their order, which keeps the twins of the built-in world together.
    """
    if not len(source):
        raise ValueError("a source without items: nothing to read")
    rows = grain.MapDataset.range(len(source))
    rows = rows.shuffle(seed) if shuffle else rows
    read = rows.repeat().batch(size, drop_remainder=True).map_with_index(lambda i, r: source.read(np.asarray(r), draw=i))
    return iter(read[start:steps].to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))
