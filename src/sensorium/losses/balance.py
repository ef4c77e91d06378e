"""Several losses or modalities in one, without one that is loud drowning the others.

Adam and its kin divide a gradient by its own size: what is to change how fast a tower learns has to multiply its *update*.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float

LEAST = 1e-8
Scalar = Float[jax.Array, ""]


def balanced(parts: Mapping[str, Float[jax.Array, ""]], weights: Mapping[str, float] | None = None) -> Float[jax.Array, ""]:
    """The weighted geometric mean of positive losses (Chennupati et al. 2019, MultiNet++, eq. 4).

    Its gradient is Σ wᵢ·∇Lᵢ / Lᵢ, times the mean: what counts of each loss is by which share it falls, whatever its unit, so
    that squared errors of pixels and nats of a contrast need no tuning against each other. `weights` are 1 unless given; a
    name that is no loss is a `ValueError`, and so are no losses at all. A loss below 1e-8 has no more say.
    """
    given = {name: 1.0 for name in parts} | dict(weights or {})
    if unknown := sorted(given.keys() - parts.keys()):
        raise ValueError(f"weights of {unknown}, which are no losses; the losses are {sorted(parts)}")
    total = sum(given.values())
    if not parts or total <= 0 or min(given.values()) < 0:
        raise ValueError(f"expected one or more losses with weights of 0 or more, not all 0; got {given}")
    logs = [given[name] / total * jnp.log(jnp.maximum(loss, LEAST)) for name, loss in parts.items()]
    return jnp.exp(jnp.sum(jnp.stack(logs)))


def norms(arrays: Mapping[str, Float[jax.Array, "..."]], fields: Sequence[str]) -> dict[str, Scalar]:
    """The Euclidean norm, for each field, of all arrays that are its own: those with the field as a part of their dotted name
    ("encoders.image.stem.kernel", "projections.image.kernel"). A field without any is a `ValueError`."""
    found = {field: [x for name, x in arrays.items() if field in name.split(".")] for field in fields}
    if idle := [field for field, own in found.items() if not own]:
        raise ValueError(f"no parameters of {idle}; there are {', '.join(sorted(arrays)[:8])} …")
    return {
        field: jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(jnp.square(x.astype(jnp.float32))) for x in own])))
        for field, own in found.items()
    }


def shares(norms: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Which part of the whole each norm is: they sum to 1, or are all 0 where everything is."""
    whole = jnp.sum(jnp.stack(list(norms.values())))
    return {name: norm / jnp.where(whole > 0, whole, 1.0) for name, norm in norms.items()}


def evened(norms: Mapping[str, Scalar], strength: float = 0.5, most: float = 4.0) -> dict[str, Scalar]:
    """What to multiply each one's update by, so that norms come nearer to their geometric mean: (mean / norm)^strength.

    The restoring force of GradNorm (Chen et al. 2018) in closed form, its relative training rates left out: `strength` 0 changes
    nothing, 1 makes all norms equal. No number is above `most` or below 1 / `most`. One whose norm is 0 or not finite (it is
    absent from the whole batch, or frozen) keeps 1 and is not counted in the mean.
    """
    if not 0.0 <= strength <= 1.0 or most < 1.0:
        raise ValueError(f"strength={strength}, most={most}: a strength is from 0 to 1, the most that is allowed 1 or above")
    real = {name: jnp.isfinite(norm) & (norm > 0) for name, norm in norms.items()}
    logs = {name: jnp.log(jnp.where(real[name], norm, 1.0)) for name, norm in norms.items()}
    number = jnp.maximum(jnp.sum(jnp.stack(list(real.values())), dtype=jnp.float32), 1.0)
    mean = jnp.sum(jnp.stack(list(logs.values()))) / number
    return {
        name: jnp.where(real[name], jnp.clip(jnp.exp(strength * (mean - logs[name])), 1.0 / most, most), 1.0) for name in norms
    }


def modulated(scores: Mapping[str, Scalar], alpha: float = 0.5) -> dict[str, Scalar]:
    """What to multiply each modality's update by: 1 − tanh(α·ρ) where it is ahead, else 1 (Peng et al. 2022, OGM-GE, eq. 10).

    `scores` say how well (> 0) each does alone, higher is better; ρ is its score over the mean of the others', ahead is ρ > 1
    (the paper's ratio of two, for any number). The Gaussian noise of the paper's GE is left to the optimizer's own.
    """
    if len(scores) < 2 or alpha < 0:
        raise ValueError(f"scores of {sorted(scores)}, alpha={alpha}: expected two modalities or more, and a number of 0 or more")
    whole = jnp.sum(jnp.stack(list(scores.values())))
    ratio = {name: score * (len(scores) - 1) / jnp.maximum(whole - score, LEAST) for name, score in scores.items()}
    return {name: jnp.where(rho > 1.0, 1.0 - jnp.tanh(alpha * rho), 1.0) for name, rho in ratio.items()}
