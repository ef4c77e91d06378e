"""A question that only a model itself can answer, asked once before a training: do its rows see each other?"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Shaped

from sensorium.core.batch import size

ROWS = 8
"""So many rows are encoded: enough for halves and for every other row, and cheap for any model."""
NOISE = 1e-3
"""A change of a number of a unit vector that rounding can make (bf16 towers included; equal shapes mostly give equal bits)."""


def mixes_rows(model: Any, batch: Mapping[str, Shaped[Any, "B ..."]], key: jax.Array) -> list[str]:
    """The fields whose vector of a row changes when only *other* rows of the batch do.

    Such a model can tell partners by their company and shows a low loss, but what it has learned is not there when a row
    comes alone. `model(batch, key)` is compiled for a few rows and called three times, with the same key. Norms over the batch
    are found too. A `ValueError` for a batch of one row. Where all rows are equal, nothing can be told, and nothing is.
    """
    rows = min(size(dict(batch)), ROWS)
    if rows < 2:
        raise ValueError("a batch of 1 row: at least 2 are needed to see whether rows mix")
    few = {name: np.asarray(x[:rows]) for name, x in batch.items()}
    graph, state = nnx.split(model)
    encode = jax.jit(lambda state, rows: _units(nnx.merge(graph, state)(rows, key)))
    whole = jax.device_get(encode(state, few))
    found = set()
    halves = np.arange(rows) < rows // 2
    for kept in (halves, ~halves, np.arange(rows) % 2 == 0):
        others = np.where(kept, np.arange(rows), np.flatnonzero(kept)[0])  # a row that stays stands where the others were
        changed = jax.device_get(encode(state, {name: x[others] for name, x in few.items()}))
        found |= {name for name, x in whole.items() if (np.abs(changed[name] - x)[kept] > NOISE).any()}
    return sorted(found)


def _units(outputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {name.removesuffix("/unit"): x for name, x in outputs.items() if name.endswith("/unit")}
