"""The contract of losses: a value a row, and which rows count. Averaging is somebody else's work."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Bool, Float


class LossRows(NamedTuple):
    """What a loss returns: a value a row, and which rows count."""

    values: Float[jax.Array, " B"]
    counts: Bool[jax.Array, " B"]


@runtime_checkable
class Loss(Protocol):
    """A frozen dataclass that reads the model's outputs and the batch by name."""

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows: ...
