"""The one type that the parts of a model exchange, and what makes one."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from flax import nnx
from jaxtyping import Bool, Float, Int


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
class Prompting(Protocol):
    """An encoder that may see the vectors of texts f32[C D] in the light of each thing that it encoded: f32[B C D]. It does where
    it has `prompts`."""

    prompts: Any

    def prompted(self, texts: Float[jax.Array, "C D"], things: Encoding) -> Float[jax.Array, "B C D"]: ...


@runtime_checkable
class Gridded(Protocol):
    """An encoder whose tokens lie on a grid of another shape in each row: `shape` has the rows and columns of those that the
    mask counts, and comes from the part `<field>/shape`."""

    def on_grid(self, x: jax.Array, mask: Bool[jax.Array, "B L"] | None, shape: Int[jax.Array, "B 2"]) -> Encoding: ...


Grid = tuple[tuple[int, int], ...]
"""Where tokens lie, row by row: along each axis how many there are, and how many numbers of the field's array each spans."""


@runtime_checkable
class Alone(Protocol):
    """An encoder that says what it would pool of each of its tokens, were it the only one: so that tokens come into the space by
    the way of the whole."""

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]: ...

    def grid(self, shape: Sequence[int]) -> Grid:
        """Of the last tokens of a thing whose array has this shape; learned ones stand before them."""
        ...


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


def encoded(encoder: Encoder, batch: Mapping[str, jax.Array], name: str) -> Encoding:
    """What an encoder makes of a field of a batch: of its array and its mask, and where it is `Gridded`, of its shape."""
    x, mask = batch[name], batch.get(f"{name}/mask")
    if isinstance(encoder, Gridded) and f"{name}/shape" in batch:
        return encoder.on_grid(x, mask, batch[f"{name}/shape"])
    return encoder(x, mask)
