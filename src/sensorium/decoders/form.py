"""How a decoder sees the arrays of a field: as numbers within [-1, 1] on a grid, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Num

from sensorium.core.table import Table
from sensorium.decoders.latent import Latent
from sensorium.decoders.vocoder import Spectrum


@runtime_checkable
class Form(Protocol):
    """A frozen dataclass, made of JSON: what a batch holds of a field -> f32[B *shape C] within [-1, 1], and back."""

    def into(self, x: Num[jax.Array, "B ..."]) -> Float[jax.Array, "B ..."]: ...

    def back(self, y: Float[jax.Array, "B ..."]) -> Num[jax.Array, "B ..."]:
        """What the field's `show` takes, of the sides that the decoder has."""
        ...


@dataclass(frozen=True)
class Pixels:
    """Pictures and clips u8: as 127.5ths less 1, the mean of each block of `every` pixels (frames, rows, columns) one of theirs.

    `frames`: of so many frames of a clip the first is kept. `back` gives u8 of the smaller size.
    """

    every: Sequence[int] = ()
    frames: int = 1

    def __post_init__(self):
        object.__setattr__(self, "every", tuple(self.every))

    def into(self, x: Num[jax.Array, "B ..."]) -> Float[jax.Array, "B ..."]:
        x = x[:, :: self.frames] if self.frames > 1 else x
        y = x.astype(jnp.float32)
        return (means(y, self.every) if self.every else y) / 127.5 - 1.0

    def back(self, y: Float[jax.Array, "B ..."]) -> Num[jax.Array, "B ..."]:
        return jnp.clip(jnp.round((y + 1.0) * 127.5), 0.0, 255.0).astype(jnp.uint8)


@dataclass(frozen=True)
class Numbers:
    """Readings f32[B T C]: over `most`, beyond which they are cut."""

    most: float = 1.0

    def into(self, x: Num[jax.Array, "B ..."]) -> Float[jax.Array, "B ..."]:
        return jnp.clip(x.astype(jnp.float32) / self.most, -1.0, 1.0)

    def back(self, y: Float[jax.Array, "B ..."]) -> Num[jax.Array, "B ..."]:
        return y * self.most


FORMS: Table[type] = Table("form", {"pixels": Pixels, "numbers": Numbers, "spectrum": Spectrum, "latent": Latent})


def formed(form: Mapping[str, Any]) -> Form:
    """The form that JSON describes: its name under "form", and its arguments."""
    return FORMS[form["form"]](**{key: value for key, value in form.items() if key != "form"})


def means(x: Float[jax.Array, "B *sides C"], every: Sequence[int]) -> Float[jax.Array, "B *fewer C"]:
    """The mean of each block of so many cells along each axis; a `ValueError` where blocks do not fill the grid."""
    sides = x.shape[1:-1]
    if len(sides) != len(every) or any(n % e for n, e in zip(sides, every, strict=True)):
        raise ValueError(
            f"a grid of {sides} in blocks of {tuple(every)}: expected as many numbers, of which each divides its side"
        )
    for axis, e in enumerate(every, 1):  # cell by cell: on CPUs, XLA's reductions of inner axes are thirty times as slow
        x = sum((jax.lax.slice_in_dim(x, i, None, e, axis) for i in range(1, e)), jax.lax.slice_in_dim(x, 0, None, e, axis))
    return x / math.prod(every)
