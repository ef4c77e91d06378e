"""Small changes that leave the meaning of a sample as it is: for each modality its own, drawn anew for every row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Num

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.randomness import named


@runtime_checkable
class Augmentation(Protocol):
    """Rows of one modality and a key -> rows of the same shape."""

    def __call__(self, x: jax.Array, key: jax.Array) -> jax.Array: ...


def augment(batch: dict[str, jax.Array], key: jax.Array, how: Mapping[str, Augmentation]) -> dict[str, jax.Array]:
    """The batch with some of its modalities changed, each by its own augmentation and its own noise; jit-able.

    A name in `how` that the batch lacks is an `UnknownName`: nothing is left out in silence.
    """
    for name in how:
        if name not in batch:
            raise UnknownName(f"the batch has no {name!r} to augment.{nearest(name, batch)}")
    return batch | {name: change(batch[name], named(key, f"augment {name}")) for name, change in how.items()}


@dataclass(frozen=True)
class Moved:
    """Pictures or clips moved by up to `pixels` (edges repeated; all frames of a clip alike), and their contrast changed by up
    to ±`contrast`. Floats in [0, 1] stay floats and u8 stays u8; other integers are a `ValueError`. Nothing is mirrored:
    captions speak of left and right."""

    pixels: int = 2
    contrast: float = 0.1

    def __call__(self, x: Num[jax.Array, "B *T H W C"], key: jax.Array) -> Num[jax.Array, "B *T H W C"]:
        if x.dtype == jnp.uint8:
            return jnp.round(255.0 * self._changed(x.astype(jnp.float32) / 255.0, key)).astype(jnp.uint8)
        _check_floats("Moved", x, "floats in [0, 1], or u8")
        return self._changed(x, key)

    def _changed(self, x: Float[jax.Array, "B *T H W C"], key: jax.Array) -> Float[jax.Array, "B *T H W C"]:
        reach = self.pixels
        wide = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(reach, reach)] * 2 + [(0, 0)], mode="edge")
        place, strength = jax.random.split(key)
        corners = jax.random.randint(place, (len(x), 2), 0, 2 * reach + 1)
        lead = (0,) * (x.ndim - 4)
        moved = jax.vmap(lambda row, at: jax.lax.dynamic_slice(row, (*lead, at[0], at[1], 0), row_shape))
        row_shape = x.shape[1:]
        gain = 1 + self.contrast * jax.random.uniform(strength, (len(x), *(1,) * (x.ndim - 1)), minval=-1, maxval=1)
        return jnp.clip(0.5 + gain * (moved(wide, corners) - 0.5), 0, 1)


@dataclass(frozen=True)
class Noisy:
    """Sounds or traces, louder or softer by up to ±`gain`, with white noise of `noise` times their own size.

    Integers are a `ValueError`: divide them by their full scale first."""

    gain: float = 0.2
    noise: float = 0.05

    def __call__(self, x: Num[jax.Array, "B N *C"], key: jax.Array) -> Float[jax.Array, "B N *C"]:
        _check_floats("Noisy", x, "floats; divide integers by their full scale (32768 for 16 bits)")
        loud, hiss = jax.random.split(key)
        ones = (len(x), *(1,) * (x.ndim - 1))
        size = jnp.sqrt(jnp.mean(jnp.square(x), axis=tuple(range(1, x.ndim)), keepdims=True))
        gain = 1 + self.gain * jax.random.uniform(loud, ones, minval=-1, maxval=1)
        return gain * (x + self.noise * size * jax.random.normal(hiss, x.shape))


def _check_floats(what: str, x: jax.Array, expected: str) -> None:
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{what} got {x.dtype}{list(x.shape)}: expected {expected}")


@dataclass(frozen=True)
class Forgetful:
    """Token ids of which each real one becomes `unknown_id` with probability `drop`; padding and the end stay."""

    drop: float = 0.1
    unknown_id: int = 0
    kept: tuple[int, ...] = (0, 1)

    def __call__(self, x: Int[jax.Array, "B L"], key: jax.Array) -> Int[jax.Array, "B L"]:
        lost: Bool[jax.Array, "B L"] = jax.random.uniform(key, x.shape) < self.drop
        for id in self.kept:
            lost = lost & (x != id)
        return jnp.where(lost, jnp.asarray(self.unknown_id, x.dtype), x)
