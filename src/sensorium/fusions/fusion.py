"""The contract of fusions, and encodings to try one on."""

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.core.errors import UnknownName, nearest

Encodings = Mapping[str, Encoding | None]
"""The encodings by field. A field that is not there, `None`, and a mask that is False throughout say one thing: absent."""
TINY_TOKENS = {"a": 6, "b": 6, "c": 5}
TINY_POOLED = {"a": 7, "b": 7, "c": 9}


@runtime_checkable
class Fusion(Protocol):
    """An nnx.Module: the encodings of some fields -> one `Encoding`. It owns its projections to one width; rows never mix.

    A row in which every field is absent gives zeros, with a mask that is False. With a `key` the fusion drops out, if it was
    built to; without one it never does. `ordered`: the order of the tokens of a field counts.
    """

    ordered: ClassVar[bool]
    pooled_width: int
    fields: tuple[str, ...]

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding: ...

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Fusion, dict[str, Encoding]]":
        """A small fusion of the fields a, b and c, and encodings of three rows that fit it (`tiny_encodings`)."""
        ...


def present(fields: tuple[str, ...], encodings: Encodings) -> dict[str, Encoding]:
    """The encodings that are there, in the order of `fields`; unknown fields, none at all and unequal rows are errors."""
    for name in encodings:
        if name not in fields:
            raise UnknownName(f"this fusion has no field {name!r}.{nearest(name, fields)}")
    found = {name: x for name in fields if (x := encodings.get(name)) is not None}
    if not found:
        raise ValueError(f"nothing to fuse: give an encoding for one at least of the fields {', '.join(fields)}")
    if len({len(x.mask) for x in found.values()}) > 1:
        raise ValueError(f"rows differ between the fields: { {name: len(x.mask) for name, x in found.items()} }")
    return found


def tiny_encodings(key: jax.Array) -> dict[str, Encoding]:
    """Three rows of the fields a and b (4 tokens of width 6) and c (2 tokens of width 5), all of them present."""
    made = {}
    for i, name in enumerate(TINY_TOKENS):
        tokens, pooled = jax.random.split(jax.random.fold_in(key, i))
        length = 2 if name == "c" else 4
        made[name] = Encoding(
            jax.random.normal(tokens, (3, length, TINY_TOKENS[name])),
            jnp.ones((3, length), bool),
            jax.random.normal(pooled, (3, TINY_POOLED[name])),
        )
    return made
