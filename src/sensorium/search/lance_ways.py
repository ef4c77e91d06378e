"""The kinds of indexes of LanceDB that a column of vectors may have."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from sensorium.search.precision import of_column

WIDE = 256
"""From so many numbers on, IVF_RQ (a bit a number) finds what IVF_SQ (a byte) does, in a part of its memory and time."""
TRAINING: dict[str, Any] = {"sample_rate": 64, "max_iterations": 10}
"""Of the cells: so many vectors of each are looked at, so often."""


def ways(kind: pa.FixedSizeListType, cells: int) -> dict[str, Callable[[], Any]]:
    """Kinds of indexes by their names, the first to be tried first, and what makes the configuration of each."""
    from lancedb.index import IvfFlat, IvfRq, IvfSq

    if of_column(kind) == "binary":
        return {"IVF_FLAT": lambda: IvfFlat(distance_type="hamming", num_partitions=cells)}
    # The default, IVF_PQ, finds a quarter of what it should on such vectors.
    made: dict[str, Callable[[], Any]] = {"IVF_SQ": lambda: IvfSq(distance_type="dot", num_partitions=cells, **TRAINING)}
    if of_column(kind) == "f32" and kind.list_size >= WIDE and kind.list_size % 8 == 0:
        made = {"IVF_RQ": lambda: IvfRq(distance_type="dot", num_partitions=cells, **TRAINING)} | made
    return made
