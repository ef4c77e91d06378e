"""One contrastive loss for one pair of modalities and for many: either form, one direction or both, weighted rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.table import Table
from sensorium.losses.infonce import softmax
from sensorium.losses.reduce import mean
from sensorium.losses.sigmoid import sigmoid

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
        if FORMS[self.form] is sigmoid:
            there, back = sigmoid(logits, alike, rows, columns)
        else:
            there, back = softmax(logits, alike, rows, columns, self.smoothing)
        value = 0.5 * (mean(there, weights) + mean(back, weights)) if self.symmetric else mean(there, weights)
        return value, jnp.any(there.counts if weights is None else there.counts & (weights > 0))

    def pairs(
        self,
        units: Mapping[int, Float[jax.Array, "B D"]],
        here: Mapping[int, Bool[jax.Array, " B"]],
        pairs: Sequence[tuple[int, int]],
        scale: Float[jax.Array, ""],
        bias: Float[jax.Array, ""],
        alike: Bool[jax.Array, "B B"],
        weights: Float[jax.Array, "B P"] | None = None,
    ) -> Float[jax.Array, ""]:
        """The mean over those pairs of which any row counts: what is absent from a whole batch changes nothing.

        Logits are scale · cosine + bias. `weights` has a column a pair, or one for all of them.
        """
        value, number = jnp.zeros(()), jnp.zeros(())
        for at, (i, j) in enumerate(pairs):
            if i in units and j in units:
                counts = here[i] & here[j]
                mine = None if weights is None else weights[:, at if weights.shape[1] > 1 else 0]
                one, any_ = self.pair(scale * (units[i] @ units[j].T) + bias, alike, counts, counts, mine)
                value, number = value + one, number + any_.astype(jnp.float32)
        return value / jnp.maximum(number, 1.0)
