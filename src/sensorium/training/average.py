"""A moving average of the parameters, which often generalises better than their last values (Polyak & Juditsky 1992)."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def averaged(ema: dict[str, jax.Array], trained: dict[str, jax.Array], memory: Any, count: jax.Array, decay: float) -> dict:
    """The average after one more update: decay·old + (1 − decay)·new, with the decay held to (1 + t) / (10 + t) at first,
    t being the number of the step, so that the start is forgotten (as in TensorFlow's ExponentialMovingAverage).

    Where gradients are accumulated (`memory` is that of `optax.MultiSteps`), only whole updates count.
    """
    early = (1.0 + count.astype(jnp.float32)) / (10.0 + count.astype(jnp.float32))
    keep = jnp.minimum(jnp.float32(decay), early)
    if isinstance(memory, optax.MultiStepsState):
        keep = jnp.where(memory.mini_step == 0, keep, 1.0)
    return {name: keep * old + (1.0 - keep) * trained[name] for name, old in ema.items()}
