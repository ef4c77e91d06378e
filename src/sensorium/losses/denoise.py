"""How far what was said of noisy things is from what should have been."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sensorium.core.batch import here
from sensorium.core.objective import LossRows


@dataclass(frozen=True)
class Denoise:
    """Each row's mean squared difference of `"<field>/said"` and `"<field>/wanted"`, times its `"<field>/weight"` (Ho et al.
    2020, eq. 14, for whatever the network says). A row counts where the field is there, and every field of `given`; where the
    outputs have `"<field>/known"` bool[B], it must be True as well."""

    field: str
    given: tuple[str, ...] = ()

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        return _rows(self.field, self.given, "said", "wanted", outputs, batch, outputs[f"{self.field}/weight"])


@dataclass(frozen=True)
class Outline:
    """Each row's mean squared difference of `"<field>/sketch"`, what is expected before any noise is seen, and
    `"<field>/clean"`. Rows count as they do in `Denoise`."""

    field: str
    given: tuple[str, ...] = ()

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        return _rows(self.field, self.given, "sketch", "clean", outputs, batch, jnp.float32(1.0))


def _rows(
    field: str,
    given: tuple[str, ...],
    said: str,
    wanted: str,
    outputs: dict[str, jax.Array],
    batch: dict[str, jax.Array],
    weight: jax.Array,
) -> LossRows:
    counts = jnp.asarray(here(batch, field, *given))
    if (known := outputs.get(f"{field}/known")) is not None:  # whether anything at all was there to go by
        counts = counts & known
    error = outputs[f"{field}/{said}"] - outputs[f"{field}/{wanted}"]
    axes = tuple(range(1, error.ndim))
    error = jnp.where(counts.reshape(-1, *(1 for _ in axes)), error, 0.0)
    return LossRows(jnp.mean(jnp.square(error), axis=axes) * weight, counts)
