"""Several losses in one, without one that is loud drowning the others."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Float

LEAST = 1e-8


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
