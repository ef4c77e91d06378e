"""InfoNCE over a pair of fields, with missing rows and several positives."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.objective import LossRows
from sensorium.losses import tiled as blocks
from sensorium.losses.forms import NOBODY
from sensorium.losses.pair import by_tiles, check, sides, tilt
from sensorium.losses.pair import positives as positives
from sensorium.losses.sharded import Axis
from sensorium.losses.walk import present


@dataclass(frozen=True)
class InfoNCE:
    """Contrastive loss between fields `a` and `b` (van den Oord et al. 2018; Radford et al. 2021, fig. 3).

    Rows of one `"group"`, or of equal `"<field>/id"` in either field, are positives of each other and never negatives:
    the value of a row is the mean over its positives of −log softmax (Khosla et al. 2020, eq. 2). A row that lacks `a` or
    `b` does not count, neither as a query nor as a candidate. Cosines are multiplied by the output `"scale/<a>-<b>"` where the
    pair has its own, else by `"scale"`.

    With `symmetric=False` only `a` asks among `b`. `smoothing` moves that share of the target to all candidates. `hardness` β
    weighs negatives by exp(β · logit) (Robinson et al. 2021, eq. 4). `tiled` never holds the table of all logits: None does so
    in large batches. `axis` is the axis (or axes) of the mesh in use over which rows are sharded; see `on_mesh`.
    """

    a: str
    b: str
    symmetric: bool = True
    smoothing: float = 0.0
    hardness: float = 0.0
    tiled: bool | None = None
    axis: Axis | None = None

    def __post_init__(self) -> None:
        check(self.tiled, self.axis)
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing={self.smoothing}: it is a share of the target, from 0 to less than 1")
        if not 0.0 <= self.hardness < float("inf"):
            raise ValueError(f"hardness={self.hardness}: it multiplies logits, and is a number of 0 or more")

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        scale, _ = tilt(outputs, self.a, self.b)
        a, b = sides(outputs, batch, self.a, self.b, self.axis)
        if by_tiles(self.tiled, self.axis, len(a.units)):
            there, back = blocks.softmax(a, b, scale, self.smoothing, self.hardness, self.axis)
        else:
            logits = scale * present(a) @ present(b).T
            alike = positives(batch, self.a, self.b)
            there, back = softmax(logits, alike, a.here, b.here, self.smoothing, self.hardness)
        return LossRows(0.5 * (there.values + back.values) if self.symmetric else there.values, a.here)


def softmax(
    logits: Float[jax.Array, "Q K"],
    alike: Bool[jax.Array, "Q K"],
    queries: Bool[jax.Array, " Q"],
    gallery: Bool[jax.Array, " K"],
    smoothing: float = 0.0,
    hardness: float = 0.0,
) -> tuple[LossRows, LossRows]:
    """InfoNCE of every row among the columns, and of every column among the rows.

    `alike` marks the positives; `queries` and `gallery` say which rows and columns are there at all. A row counts where it
    is there and has a positive that is. `smoothing` moves that share of the target from the positives to all candidates
    alike; `hardness` is that of `InfoNCE`. Where nothing counts, value and gradient are 0.
    """
    asked = queries & jnp.any(alike & gallery[None, :], axis=1)
    found = gallery & jnp.any(alike & queries[:, None], axis=0)
    there = jnp.where(asked, cross_entropy(logits, alike, gallery, smoothing, hardness), 0.0)
    back = jnp.where(found, cross_entropy(logits.T, alike.T, queries, smoothing, hardness), 0.0)
    return LossRows(there, asked), LossRows(back, found)


def cross_entropy(
    logits: Float[jax.Array, "Q K"],
    alike: Bool[jax.Array, "Q K"],
    counts: Bool[jax.Array, " K"],
    smoothing: float = 0.0,
    hardness: float = 0.0,
) -> Float[jax.Array, " Q"]:
    """Each row's mean over its counting positives of −log softmax over the counting columns; finite in every row."""
    everything = _hard(logits, alike, counts, hardness) if hardness else _log_sum(logits, counts[None, :])
    right = _mean(logits, alike & counts[None, :])
    if smoothing:
        right = (1.0 - smoothing) * right + smoothing * _mean(logits, jnp.broadcast_to(counts[None, :], logits.shape))
    return everything - right


def _hard(
    logits: Float[jax.Array, "Q K"], alike: Bool[jax.Array, "Q K"], counts: Bool[jax.Array, " K"], hardness: float
) -> Float[jax.Array, " Q"]:
    """log(Σ exp of positives + M · Σ exp((1 + β)·negative) / Σ exp(β·negative)) of M negatives (β = 0: of all)."""
    negative = counts[None, :] & ~alike
    number = jnp.sum(negative, axis=1, dtype=logits.dtype)
    weighed = _log_sum((1.0 + hardness) * logits, negative) - _log_sum(hardness * logits, negative)
    weighed = jnp.where(number > 0, weighed + jnp.log(jnp.maximum(number, 1.0)), NOBODY)
    return jnp.logaddexp(_log_sum(logits, alike & counts[None, :]), weighed)


def _log_sum(logits: Float[jax.Array, "Q K"], where: Bool[jax.Array, "#Q K"]) -> Float[jax.Array, " Q"]:
    return jax.nn.logsumexp(jnp.where(where, logits, NOBODY), axis=1)


def _mean(logits: Float[jax.Array, "Q K"], where: Bool[jax.Array, "Q K"]) -> Float[jax.Array, " Q"]:
    count = jnp.maximum(jnp.sum(where, axis=1, dtype=logits.dtype), 1)
    return jnp.sum(jnp.where(where, logits, 0.0), axis=1) / count
