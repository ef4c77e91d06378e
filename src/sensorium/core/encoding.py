"""The one type that the parts of a model exchange, and what makes one."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from flax import nnx
from jaxtyping import Bool, Float


class Encoding(NamedTuple):
    """What an encoder makes of its input. `pooled` may be wider than the tokens (a flattened grid keeps places apart)."""

    tokens: Float[jax.Array, "B L D"]
    mask: Bool[jax.Array, "B L"]
    pooled: Float[jax.Array, "B P"]


@runtime_checkable
class Labelled(Protocol):
    """An encoder with names of classes, perhaps none of them, and what a softmax makes their shares from."""

    labels: tuple[str, ...]

    def logits(self, pooled: Float[jax.Array, "B P"]) -> Float[jax.Array, "B labels"]: ...


@runtime_checkable
class Encoder(Protocol):
    """An nnx.Module: the array of one field (and its token mask, where it has one) -> `Encoding`. Rows never mix."""

    pooled_width: int

    def __call__(self, x: jax.Array, mask: Bool[jax.Array, "B L"] | None = None) -> Encoding: ...

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        """The constructor's arguments that follow from the modality of the field it reads, as JSON."""
        ...

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Encoder, jax.Array]":
        """A small encoder and an input of two or more rows that fits it, for the tests of the contract."""
        ...
