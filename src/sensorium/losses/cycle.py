"""There and back again: what went through two translations should be what it was."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.batch import here
from sensorium.core.objective import LossRows
from sensorium.losses.reconstruct import absolute, numbers
from sensorium.nn.norms import unit


def came_back(x: Float[jax.Array, "*X"], back: Float[jax.Array, "*X"], counts: Bool[jax.Array, " B"]) -> LossRows:
    """Each row's mean absolute difference between what went out and what came back (Zhu et al. 2017, CycleGAN, eq. 2)."""
    return absolute(x, back, counts)


def turned(x: Float[jax.Array, "B D"], back: Float[jax.Array, "B D"], counts: Bool[jax.Array, " B"]) -> LossRows:
    """1 − cosine of each row with what came back, for embeddings, whose lengths mean nothing; 1 where one of them is 0."""
    x, back = jnp.where(counts[:, None], x, 0.0), jnp.where(counts[:, None], back, 0.0)
    return LossRows(jnp.where(counts, 1.0 - jnp.sum(unit(x) * unit(back), axis=1), 0.0), counts)


@dataclass(frozen=True)
class Cycle:
    """What the output `"<field>/back"` (the field translated there and back) differs from what went out.

    `form="absolute"`: `came_back` from the batch's `field` itself; "cosine": `turned` from the output `"<field>/unit"`. Pictures
    u8 are taken as 255ths. A row counts where the field is there.
    """

    field: str
    form: str = "absolute"

    def __post_init__(self) -> None:
        if self.form not in ("absolute", "cosine"):
            raise ValueError(f'form={self.form!r}: expected "absolute" or "cosine"')

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        counts, back = jnp.asarray(here(batch, self.field)), outputs[f"{self.field}/back"].astype(jnp.float32)
        if self.form == "cosine":
            return turned(outputs[f"{self.field}/unit"].astype(jnp.float32), back, counts)
        return came_back(numbers(batch[self.field]), back, counts)
