"""InfoNCE over a pair of fields, with missing rows and several positives."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.batch import here
from sensorium.core.objective import LossRows


@dataclass(frozen=True)
class InfoNCE:
    """Symmetric contrastive loss between fields `a` and `b` (van den Oord et al. 2018; Radford et al. 2021, fig. 3).

    Rows of one `"group"`, or of equal `"<field>/id"` in either field, are positives of each other and never negatives:
    the value of a row is the mean over its positives of −log softmax (Khosla et al. 2020, eq. 2). A row that lacks `a` or
    `b` does not count, neither as a query nor as a candidate.
    """

    a: str
    b: str

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        logits = outputs["scale"] * outputs[f"{self.a}/unit"] @ outputs[f"{self.b}/unit"].T
        counts = jnp.asarray(here(batch, self.a, self.b))
        alike = positives(batch, self.a, self.b)
        values = cross_entropy(logits, alike, counts) + cross_entropy(logits.T, alike, counts)
        return LossRows(jnp.where(counts, 0.5 * values, 0.0), counts)


def positives(batch: dict[str, jax.Array], *fields: str) -> Bool[jax.Array, "B B"]:
    """Which rows are of one item, or hold equal content in one of the fields."""
    rows = len(next(iter(batch.values())))
    alike = jnp.eye(rows, dtype=bool)
    for key in ("group", *(f"{field}/id" for field in fields)):
        if key in batch:
            alike |= batch[key][:, None] == batch[key][None, :]
    return alike


def cross_entropy(
    logits: Float[jax.Array, "B B"], alike: Bool[jax.Array, "B B"], counts: Bool[jax.Array, " B"]
) -> Float[jax.Array, " B"]:
    """Each row's mean over its counting positives of −log softmax over the counting columns; finite in every row."""
    alike = alike & counts[None, :]
    everything = jax.nn.logsumexp(jnp.where(counts[None, :], logits, -1e9), axis=1)
    mean = jnp.sum(jnp.where(alike, logits, 0.0), axis=1) / jnp.maximum(jnp.sum(alike, axis=1, dtype=logits.dtype), 1)
    return everything - mean
