"""The triplet loss: what belongs together is nearer, by a margin, than what does not."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.objective import LossRows
from sensorium.core.table import Table
from sensorium.losses.forms import NOBODY
from sensorium.losses.pair import by_tiles, sides
from sensorium.losses.strips import by_strips
from sensorium.losses.walk import Side, present

Row = Float[jax.Array, " Q"]
Cosines = Float[jax.Array, "Q K"]
Mask = Bool[jax.Array, "Q K"]


def hardest(right: Row, cosines: Cosines, negative: Mask, margin: float) -> Row:
    """The hinge of the nearest negative (Faghri et al. 2018, VSE++, eq. 6)."""
    worst = jnp.max(jnp.where(negative, cosines, NOBODY), axis=1)
    return jax.nn.relu(margin - right + worst)


def semihard(right: Row, cosines: Cosines, negative: Mask, margin: float) -> Row:
    """The hinge of the nearest of those negatives that are farther than the positive (Schroff et al. 2015, FaceNet, §3.2);
    0 in a row that has none."""
    return hardest(right, cosines, negative & (cosines < right[:, None]), margin)


def every(right: Row, cosines: Cosines, negative: Mask, margin: float) -> Row:
    """The sum of the hinges of all negatives (Faghri et al. 2018, eq. 5)."""
    return jnp.sum(jnp.where(negative, jax.nn.relu(margin - right[:, None] + cosines), 0.0), axis=1)


NEGATIVES = Table("choice of negatives", {"hardest": hardest, "semihard": semihard, "all": every})


@dataclass(frozen=True)
class Triplet:
    """Hinge loss [margin − cos(row, positive) + cos(row, negative)]₊ between fields `a` and `b`.

    `negatives`: "hardest", "semihard" or "all" of them. A row with several positives (as in `InfoNCE`) is measured by its mean
    cosine with them; none of them is its negative. A row that lacks a field does not count and is nobody's candidate; a row
    without any negative has the value 0. With `symmetric`, the mean of both directions (the papers sum them). `tiled` as in
    `InfoNCE`.
    """

    a: str
    b: str
    margin: float = 0.2
    negatives: str = "hardest"
    symmetric: bool = True
    tiled: bool | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.margin <= 2.0:
            raise ValueError(f"margin={self.margin}: cosines differ by at most 2, and a margin is above 0")
        _ = NEGATIVES[self.negatives]

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        a, b = sides(outputs, batch, self.a, self.b)
        values = self._of(a, b)
        return LossRows(0.5 * (values + self._of(b, a)) if self.symmetric else values, a.here)

    def _of(self, queries: Side, gallery: Side) -> Float[jax.Array, " B"]:
        columns = present(gallery)

        def strip(rows: Side) -> Float[jax.Array, " S"]:
            cosines = present(rows) @ columns.T
            alike = jnp.any(rows.keys[:, None] == gallery.keys[None], axis=2)
            positive, negative = alike & gallery.here[None], ~alike & gallery.here[None]
            number = jnp.maximum(jnp.sum(positive, axis=1, dtype=jnp.float32), 1.0)
            right = jnp.sum(jnp.where(positive, cosines, 0.0), axis=1) / number
            return jnp.where(rows.here, NEGATIVES[self.negatives](right, cosines, negative, self.margin), 0.0)

        return by_strips(strip, queries, by_tiles(self.tiled, None, len(queries.here)))
