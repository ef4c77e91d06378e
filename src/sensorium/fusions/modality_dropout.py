"""Modality dropout: in training, whole modalities go missing, so that a model learns to do without."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool


def surviving(here: Bool[jax.Array, "B M"], rate: float, key: jax.Array) -> Bool[jax.Array, "B M"]:
    """Of the modalities that a row has, those that are left: each is dropped with probability `rate`, but never the last one.

    Rows and modalities are drawn apart. Where all would go, one of them stays, each as likely as the others (Neverova et al.
    2016, ModDrop, has no such rule). A row that has nothing stays as it is.
    """
    draw = jax.random.uniform(key, here.shape)
    kept = here & (draw >= rate)
    spared = jax.nn.one_hot(jnp.argmax(jnp.where(here, draw, -1.0), axis=1), here.shape[1], dtype=bool)
    return jnp.where(kept.any(axis=1, keepdims=True), kept, here & spared)
