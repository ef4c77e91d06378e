"""A batch: a flat dict in which row i of every entry is the same thing.

Keys are field names, parts after a slash: `"image"`, `"text"`, `"text/mask"`, `"audio/here"`. Three parts have a meaning of
their own: `<field>/here` (bool, the row has this field), `<field>/id` (i32, equal where the content is equal, as two equal
captions are) and the entry `"group"` (i32, equal where the rows belong to one item).
"""

from functools import reduce

import numpy as np
from jaxtyping import Shaped

Array = Shaped[np.ndarray, "..."]  # NumPy on the host; the same dict of jax arrays inside a compiled function
Batch = dict[str, Array]


def size(batch: dict) -> int:
    """The number of rows; a `ValueError` that lists the shapes where the entries disagree."""
    sizes = {len(x) for x in batch.values()}
    if len(sizes) != 1:
        raise ValueError(f"rows differ between the entries of a batch: { {k: np.shape(v) for k, v in batch.items()} }")
    return sizes.pop()


def here(batch: dict, *names: str):
    """Bool[B]: the rows in which every one of the fields `names` is present."""
    masks = [batch[f"{name}/here"] for name in names if f"{name}/here" in batch]
    everywhere = np.ones(size(batch), bool)
    return reduce(lambda a, b: a & b, masks, everywhere)


def stack(rows: list[dict[str, np.ndarray]]) -> Batch:
    """Stacks single items (equal keys and shapes) into a batch."""
    if odd := [row.keys() for row in rows if row.keys() != rows[0].keys()]:
        raise ValueError(f"rows differ in what they hold: {sorted(rows[0])} and {sorted(odd[0])}")
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def pad(batch: Batch, rows: int) -> Batch:
    """Appends copies of the first row until there are `rows`; callers drop them from what comes out."""
    missing = rows - size(batch)
    return {k: np.concatenate([v, np.repeat(v[:1], missing, axis=0)]) for k, v in batch.items()} if missing else batch
