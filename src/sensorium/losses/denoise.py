"""How far what was said of noisy things is from what should have been."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.batch import here
from sensorium.core.objective import LossRows


@dataclass(frozen=True)
class Denoise:
    """Each row's mean squared difference of `"<field>/said"` and `"<field>/wanted"`, times its `"<field>/weight"` (Ho et al.
    2020, eq. 14, for whatever the network says); where the outputs have `"<field>/rows"` i32[K], these are of those rows of the
    batch, and no other counts. A row counts where the field is there, and every field of `given`; where the outputs have
    `"<field>/known"` bool[B], it must be True as well."""

    field: str
    given: tuple[str, ...] = ()

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        _needs(outputs, self.field, "said")
        whole = _rows(self.field, self.given, outputs, batch)
        rows = outputs.get(f"{self.field}/rows", jnp.arange(len(whole)))
        found = (
            _errors(outputs[f"{self.field}/said"], outputs[f"{self.field}/wanted"], whole[rows]) * outputs[f"{self.field}/weight"]
        )
        return LossRows(jnp.zeros(len(whole)).at[rows].set(found), jnp.zeros(len(whole), bool).at[rows].set(whole[rows]))


@dataclass(frozen=True)
class Outline:
    """Each row's mean squared difference of `"<field>/sketch"`, what is expected before any noise is seen, and
    `"<field>/clean"`. Rows count as they do in `Denoise`."""

    field: str
    given: tuple[str, ...] = ()

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        _needs(outputs, self.field, "sketch")
        counts = _rows(self.field, self.given, outputs, batch)
        return LossRows(_errors(outputs[f"{self.field}/sketch"], outputs[f"{self.field}/clean"], counts), counts)


def _needs(outputs: dict[str, jax.Array], field: str, part: str) -> None:
    """A `ValueError` where a model said nothing of a field."""
    if f"{field}/{part}" in outputs:
        return
    takes = "a key, as in model(batch, key), and a batch of all fields"
    if f"{field}/said" in outputs:
        takes = "a denoiser whose network has a sketch"
    has = ", ".join(sorted(outputs)) or "nothing"
    raise ValueError(f"the outputs have no '{field}/{part}', only {has}: it takes {takes}")


def _rows(
    field: str, given: tuple[str, ...], outputs: dict[str, jax.Array], batch: dict[str, jax.Array]
) -> Bool[jax.Array, " B"]:
    """Which rows count."""
    counts = jnp.asarray(here(batch, field, *given))
    known = outputs.get(f"{field}/known")  # whether anything at all was there to go by
    return counts if known is None else counts & known


def _errors(
    said: Float[jax.Array, "K *shape C"], wanted: Float[jax.Array, "K *shape C"], counts: Bool[jax.Array, " K"]
) -> Float[jax.Array, " K"]:
    """The mean squared difference of each row that counts; 0 of others, whatever is in them."""
    axes = tuple(range(1, said.ndim))
    return jnp.mean(jnp.square(jnp.where(counts.reshape(-1, *(1 for _ in axes)), said - wanted, 0.0)), axis=axes)
