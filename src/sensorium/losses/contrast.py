"""One contrastive loss for one pair of modalities and for many: either form, one direction or both, weighted rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from sensorium.core.objective import LossRows
from sensorium.core.table import Table
from sensorium.losses import tiled
from sensorium.losses.infonce import softmax
from sensorium.losses.pair import by_tiles
from sensorium.losses.reduce import mean
from sensorium.losses.sigmoid import sigmoid
from sensorium.losses.walk import Side, Tilt, present

FORMS = Table("form of the contrastive loss", {"softmax": softmax, "sigmoid": sigmoid})


@dataclass(frozen=True)
class Contrast:
    """How a pair is contrasted: the form, whether both directions are asked, and the label smoothing of a softmax."""

    form: str = "softmax"
    symmetric: bool = True
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if FORMS[self.form] is sigmoid and self.smoothing:
            raise ValueError('label smoothing belongs to form="softmax": a sigmoid has no distribution over candidates')
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"a label smoothing of {self.smoothing}: it is a share of the target, from 0 to less than 1")

    def pair(
        self,
        logits: Float[jax.Array, "Q K"],
        alike: Bool[jax.Array, "Q K"],
        rows: Bool[jax.Array, " Q"],
        columns: Bool[jax.Array, " K"],
        weights: Float[jax.Array, " Q"] | None = None,
    ) -> tuple[Float[jax.Array, ""], Bool[jax.Array, ""]]:
        """The mean over rows (Σ w·value / Σ w) and directions, and whether any row counts and weighs.

        With weights and both directions, the logits are square: a weight belongs to a row and to its column.
        """
        return self._mean(*self._rows(logits, alike, rows, columns), weights)

    def pairs(
        self,
        units: Mapping[int, Float[jax.Array, "B D"]],
        here: Mapping[int, Bool[jax.Array, " B"]],
        pairs: Sequence[tuple[int, int]],
        tilt: Tilt,
        groups: Int[jax.Array, " B"] | None = None,
        weights: Float[jax.Array, "B P"] | None = None,
    ) -> Float[jax.Array, ""]:
        """The mean over those pairs of which any row counts: what is absent from a whole batch changes nothing.

        Logits are scale · cosine + bias, block by block in large batches. Rows of equal `groups` are positives of each other.
        `weights` has a column a pair, or one for all of them.
        """
        value, number = jnp.zeros(()), jnp.zeros(())
        rows = jnp.arange(len(next(iter(units.values()))), dtype=jnp.int32)
        keys = jnp.stack([rows] if groups is None else [rows, groups], axis=1)
        for at, (i, j) in enumerate(pairs):
            if i in units and j in units:
                counts = here[i] & here[j]
                mine = None if weights is None else weights[:, at if weights.shape[1] > 1 else 0]
                one, any_ = self._mean(*self._met(Side(units[i], keys, counts), Side(units[j], keys, counts), tilt), mine)
                value, number = value + one, number + any_.astype(jnp.float32)
        return value / jnp.maximum(number, 1.0)

    def _met(self, a: Side, b: Side, tilt: Tilt) -> tuple[LossRows, LossRows]:
        if not by_tiles(None, None, len(a.here)):
            alike = jnp.any(a.keys[:, None] == b.keys[None], axis=2)
            return self._rows(tilt.scale * (present(a) @ present(b).T) + tilt.bias, alike, a.here, b.here)
        if FORMS[self.form] is sigmoid:
            return tiled.sigmoid(a, b, *tilt)
        return tiled.softmax(a, b, tilt.scale, self.smoothing)

    def _rows(self, logits: jax.Array, alike: jax.Array, rows: jax.Array, columns: jax.Array) -> tuple[LossRows, LossRows]:
        if FORMS[self.form] is sigmoid:
            return sigmoid(logits, alike, rows, columns)
        return softmax(logits, alike, rows, columns, self.smoothing)

    def _mean(
        self, there: LossRows, back: LossRows, weights: Float[jax.Array, " Q"] | None
    ) -> tuple[Float[jax.Array, ""], Bool[jax.Array, ""]]:
        value = 0.5 * (mean(there, weights) + mean(back, weights)) if self.symmetric else mean(there, weights)
        return value, jnp.any(there.counts if weights is None else there.counts & (weights > 0))
