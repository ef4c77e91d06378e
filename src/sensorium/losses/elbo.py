"""The evidence that a latent explains what is seen: what variational autoencoders are trained by."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sensorium.core.batch import here
from sensorium.core.objective import LossRows


@dataclass(frozen=True)
class Elbo:
    """The negative evidence bound of some fields, in nats a row: Σ over fields of −ln p(field | z), plus `beta` · KL(q ‖ prior).

    It reads `"<field>/nats"` and `"<field>/share"` f32[B W] of `fields`, and `"joint/kl"` and `"joint/share"` f32[B W], as a
    `JointVAE` has them: of W draws of the latent, each with its weight. With `beta` 1 it is a bound; below or above, a
    β-VAE (Higgins et al. 2017). `weights` multiply the fields' parts, 1 unless given, where one drowns the others. Up to `free`
    nats of a KL cost nothing (Kingma et al. 2016, §4, one group). To let the KL in by and by, take it out here (`beta` 0) and put
    it in as `Divergence` with a schedule for a weight. A row counts where any of the fields is there.
    """

    fields: tuple[str, ...]
    beta: float = 1.0
    free: float = 0.0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.fields or (self.weights and len(self.weights) != len(self.fields)):
            raise ValueError(
                f"fields={self.fields}, weights={self.weights}: expected a field or more, and as many weights or none"
            )
        if self.beta < 0 or self.free < 0:
            raise ValueError(f"beta={self.beta}, free={self.free}: expected numbers of 0 or more")

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        rows = len(outputs["joint/kl"])
        whole, counts = jnp.zeros(rows), jnp.zeros(rows, bool)
        for name, weight in zip(self.fields, self.weights or (1.0,) * len(self.fields), strict=True):
            if f"{name}/nats" in outputs:
                there = jnp.asarray(here(batch, name))
                shares = jnp.where(there[:, None], outputs[f"{name}/share"], 0.0)
                whole, counts = whole + weight * _weighed(outputs[f"{name}/nats"], shares), counts | there
        shares = jnp.where(counts[:, None], outputs["joint/share"], 0.0)
        values = whole + self.beta * _weighed(jnp.maximum(outputs["joint/kl"], self.free), shares)
        return LossRows(jnp.where(counts, values, 0.0), counts)


@dataclass(frozen=True)
class Divergence:
    """KL(q ‖ prior) in nats a row, above `free`: `"<of>/kl"` f32[B W], each by its `"<of>/share"` (equal where there is none).

    A row counts where `given` are there; any of them, where there are several.
    """

    of: str = "joint"
    given: tuple[str, ...] = ()
    free: float = 0.0

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        kl = outputs[f"{self.of}/kl"]
        counts = jnp.ones(len(kl), bool)
        if self.given:
            counts = jnp.any(jnp.stack([jnp.asarray(here(batch, name)) for name in self.given]), axis=0)
        shares = outputs.get(f"{self.of}/share", jnp.full(kl.shape, 1.0 / kl.shape[1]))
        shares = jnp.where(counts[:, None], shares, 0.0)
        return LossRows(_weighed(jnp.maximum(kl, self.free), shares), counts)


def _weighed(x: Float[jax.Array, "B W"], weights: Float[jax.Array, "B W"]) -> Float[jax.Array, " B"]:
    """Σ over W; what has no weight has no effect, not even where it is NaN."""
    return jnp.sum(jnp.where(weights > 0, x, 0.0) * weights, axis=1)
