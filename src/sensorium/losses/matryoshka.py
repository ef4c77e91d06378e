"""Vectors that can be cut short: the loss of their prefixes beside that of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sensorium.core.objective import Loss, LossRows
from sensorium.nn.norms import unit


@dataclass(frozen=True)
class Matryoshka:
    """The mean of a loss over prefixes of the unit vectors, made unit again, and the whole (Kusupati et al. 2022, eq. 1).

    `widths` are the prefixes, each shorter than the whole, which is always there too; `weights` has a number (≥ 0) for each of
    them and a last one for the whole, all 1 unless given. A row counts where the loss of the whole counts it.
    """

    loss: Loss
    widths: tuple[int, ...] = (32, 64, 128)
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.widths or list(self.widths) != sorted({width for width in self.widths if width > 0}):
            raise ValueError(
                f"widths={self.widths}: expected one or more prefixes of 1 or more numbers, each wider than the last"
            )
        if self.weights is not None and (len(self.weights) != len(self.widths) + 1 or not _fair(self.weights)):
            expected = f"{len(self.widths)} widths and the whole take {len(self.widths) + 1} weights of 0 or more, not all 0"
            raise ValueError(f"weights={self.weights}: {expected}")

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        weights = (1.0,) * (len(self.widths) + 1) if self.weights is None else self.weights
        whole = self.loss(outputs, batch)
        values = weights[-1] * whole.values
        for width, weight in zip(self.widths, weights[:-1], strict=True):
            short = {name: _prefix(name, x, width) if name.endswith("/unit") else x for name, x in outputs.items()}
            values = values + weight * self.loss(short, batch).values
        return LossRows(values / sum(weights), whole.counts)


def _prefix(name: str, x: jax.Array, width: int) -> jax.Array:
    if width >= x.shape[1]:
        raise ValueError(f"a prefix of {width} of {name!r}, which has {x.shape[1]} numbers: it has to be shorter")
    # A row that is not there may hold NaN, of which the normalisation would make gradients; in a row that is, the whole shows it.
    return unit(jnp.where(jnp.all(jnp.isfinite(x), axis=1, keepdims=True), x[:, :width], 0.0))


def _fair(weights: Sequence[float]) -> bool:
    return min(weights) >= 0 and sum(weights) > 0
