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
        there, back = softmax(logits, positives(batch, self.a, self.b), counts, counts)
        return LossRows(0.5 * (there.values + back.values), counts)


def positives(batch: dict[str, jax.Array], *fields: str) -> Bool[jax.Array, "B B"]:
    """Which rows are of one item, or hold equal content in one of the fields."""
    rows = len(next(iter(batch.values())))
    alike = jnp.eye(rows, dtype=bool)
    for key in ("group", *(f"{field}/id" for field in fields)):
        if key in batch:
            alike |= batch[key][:, None] == batch[key][None, :]
    return alike


def softmax(
    logits: Float[jax.Array, "Q K"],
    alike: Bool[jax.Array, "Q K"],
    queries: Bool[jax.Array, " Q"],
    gallery: Bool[jax.Array, " K"],
    smoothing: float = 0.0,
) -> tuple[LossRows, LossRows]:
    """InfoNCE of every row among the columns, and of every column among the rows.

    `alike` marks the positives; `queries` and `gallery` say which rows and columns are there at all. A row counts where it
    is there and has a positive that is. `smoothing` moves that share of the target from the positives to all candidates
    alike. Where nothing counts, value and gradient are 0.
    """
    asked = queries & jnp.any(alike & gallery[None, :], axis=1)
    found = gallery & jnp.any(alike & queries[:, None], axis=0)
    there = jnp.where(asked, cross_entropy(logits, alike, gallery, smoothing), 0.0)
    back = jnp.where(found, cross_entropy(logits.T, alike.T, queries, smoothing), 0.0)
    return LossRows(there, asked), LossRows(back, found)


def cross_entropy(
    logits: Float[jax.Array, "Q K"], alike: Bool[jax.Array, "Q K"], counts: Bool[jax.Array, " K"], smoothing: float = 0.0
) -> Float[jax.Array, " Q"]:
    """Each row's mean over its counting positives of −log softmax over the counting columns; finite in every row."""
    everything = jax.nn.logsumexp(jnp.where(counts[None, :], logits, -1e9), axis=1)
    right = _mean(logits, alike & counts[None, :])
    if smoothing:
        right = (1.0 - smoothing) * right + smoothing * _mean(logits, jnp.broadcast_to(counts[None, :], logits.shape))
    return everything - right


def _mean(logits: Float[jax.Array, "Q K"], where: Bool[jax.Array, "Q K"]) -> Float[jax.Array, " Q"]:
    count = jnp.maximum(jnp.sum(where, axis=1, dtype=logits.dtype), 1)
    return jnp.sum(jnp.where(where, logits, 0.0), axis=1) / count
