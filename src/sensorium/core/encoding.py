"""The one type that the parts of a model exchange."""

from typing import NamedTuple

import jax
from jaxtyping import Bool, Float


class Encoding(NamedTuple):
    """What an encoder makes of its input. `pooled` may be wider than the tokens (a flattened grid keeps places apart)."""

    tokens: Float[jax.Array, "B L D"]
    mask: Bool[jax.Array, "B L"]
    pooled: Float[jax.Array, "B P"]
