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
        counts = jnp.asarray(here(batch, self.field, *self.given))
        if (known := outputs.get(f"{self.field}/known")) is not None:  # whether anything at all was there to go by
            counts = counts & known
        said, wanted = outputs[f"{self.field}/said"], outputs[f"{self.field}/wanted"]
        axes = tuple(range(1, said.ndim))
        shown = counts.reshape(-1, *(1 for _ in axes))
        error = jnp.where(shown, said - wanted, 0.0)
        return LossRows(jnp.mean(jnp.square(error), axis=axes) * outputs[f"{self.field}/weight"], counts)
