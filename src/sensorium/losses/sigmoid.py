"""The sigmoid loss: every pair of a row and a column is a question of its own, yes or no."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.objective import LossRows
from sensorium.losses import tiled as blocks
from sensorium.losses.pair import by_tiles, check, positives, sides, tilt
from sensorium.losses.sharded import Axis
from sensorium.losses.walk import present


@dataclass(frozen=True)
class Sigmoid:
    """Pairwise sigmoid loss between fields `a` and `b` (Zhai et al. 2023, SigLIP, algorithm 1).

    Logits are scale · cosine + bias: the model's outputs `"scale/<a>-<b>"` and `"bias/<a>-<b>"` where the pair has its own, else
    `"scale"` and `"bias"`, and for a model without a bias the constant given here. The paper starts at 10 and −10.
    Positives and missing rows are those of `InfoNCE`. The value of a row is the mean of its sum over candidates in the one
    direction and in the other, so the mean over rows is the paper's. `tiled` and `axis` as in `InfoNCE`.
    """

    a: str
    b: str
    bias: float = -10.0
    tiled: bool | None = None
    axis: Axis | None = None

    def __post_init__(self) -> None:
        check(self.tiled, self.axis)

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        scale, bias = tilt(outputs, self.a, self.b, self.bias)
        a, b = sides(outputs, batch, self.a, self.b, self.axis)
        if by_tiles(self.tiled, self.axis, len(a.units)):
            there, back = blocks.sigmoid(a, b, scale, bias, self.axis)
        else:
            logits = scale * present(a) @ present(b).T + bias
            there, back = sigmoid(logits, positives(batch, self.a, self.b), a.here, b.here)
        return LossRows(0.5 * (there.values + back.values), a.here)


def sigmoid(
    logits: Float[jax.Array, "Q K"],
    alike: Bool[jax.Array, "Q K"],
    queries: Bool[jax.Array, " Q"],
    gallery: Bool[jax.Array, " K"],
) -> tuple[LossRows, LossRows]:
    """−Σ log σ(±logit) of every row over the columns, and of every column over the rows; + where `alike`, − elsewhere.

    `queries` and `gallery` say which rows and columns are there; every row that is there counts, if it has no positive too.
    """
    both = queries[:, None] & gallery[None, :]
    values = jnp.where(both, -jax.nn.log_sigmoid(jnp.where(alike, logits, -logits)), 0.0)
    return LossRows(jnp.sum(values, axis=1), queries), LossRows(jnp.sum(values, axis=0), gallery)
