"""The tokens of things as vectors of the shared space: what a model would make of each patch, moment or word alone.

Where tokens are laid side by side or averaged before a linear projection, these are exactly the parts that a vector is the sum
of. Elsewhere (a first token, a learned question) they are what the same way makes of one token, which no loss has trained.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.batch import Batch, pad, size
from sensorium.core.encoding import Alone, Grid, encoded
from sensorium.core.errors import SensoriumError
from sensorium.models.space import Space

ROWS = 8


class NoTokens(SensoriumError, ValueError):
    """A model, or one of its encoders, whose tokens do not come into the shared space."""


def pieces(model: Any, name: str, batch: Batch) -> tuple[Float[np.ndarray, "B L D"], Bool[np.ndarray, "B L"], Grid]:
    """Of the field `name` of prepared things: a vector a token (not of unit length), which of them are there, and where the last
    ones lie. `NoTokens` where there are none in the space."""
    encoder = _encoder(model, name)
    graph, state = nnx.split(model)
    own = {key: x for key, x in batch.items() if key.partition("/")[0] == name}
    found = []
    for start in range(0, size(own), ROWS):
        part = {key: x[start : start + ROWS] for key, x in own.items()}
        found.append([np.asarray(x)[: size(part)] for x in _pieces(graph, state, pad(part, ROWS), name)])
    vectors, mask = (np.concatenate(parts) for parts in zip(*found, strict=True))
    said = own.get(f"{name}/mask")
    if said is not None and said.shape == mask.shape:  # encoders that look at the filling have it in their own
        mask = mask & np.asarray(said)
    return vectors, mask, encoder.grid(own[name].shape[1:])


def has_pieces(model: Any, name: str) -> bool:
    """Whether `pieces` has any of a field."""
    return isinstance(model, Space) and name in model.encoders and isinstance(model.encoders[name], Alone)


def _encoder(model: Any, name: str) -> Alone:
    if not isinstance(model, Space):
        raise NoTokens(f"the tokens of a {type(model).__name__} lie in no shared space: load a model that was trained to one")
    encoder = model.encoders[name]
    if not isinstance(encoder, Alone):
        raise NoTokens(
            f"the tokens of {name!r} do not come into the shared space by what its encoder ({type(encoder).__name__}) pools: "
            "search without --rerank and --why"
        )
    return encoder


@partial(jax.jit, static_argnames=("graph", "name"))
def _pieces(
    graph: Any, state: Any, batch: dict[str, jax.Array], name: str
) -> tuple[Float[jax.Array, "B L D"], Bool[jax.Array, "B L"]]:
    model = nnx.merge(graph, state)
    encoding = encoded(model.encoders[name], batch, name)
    parts = model.encoders[name].alone(encoding)
    projected = model.projected(name, parts.reshape(-1, parts.shape[2]))
    return projected.reshape(*parts.shape[:2], model.width).astype("float32"), encoding.mask
