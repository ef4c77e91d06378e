"""Text as a sequence of choices: cross-entropy of each word, never a distance between ids."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from sensorium.core.objective import LossRows


def next_token(
    logits: Float[jax.Array, "B L V"], text: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"], smoothing: float = 0.0
) -> LossRows:
    """Each row's mean over its real tokens of −log softmax(logits)[token], in nats; rows without a real token do not count.

    `logits[:, i]` are those *of* `text[:, i]`: a decoder that reads the words before has shifted them already. `smoothing`
    moves that share of the target to all words alike (Szegedy et al. 2016, §7). What stands at masked places has no effect
    and no gradient, not even where it is NaN; a real id outside the vocabulary gives NaN.
    """
    log_p = jax.nn.log_softmax(jnp.where(mask[:, :, None], logits, 0.0), axis=-1)
    known = (text >= 0) & (text < logits.shape[-1])
    at = jnp.where(mask & known, text, 0)
    right = jnp.take_along_axis(log_p, at[:, :, None], axis=-1)[:, :, 0]
    right = jnp.where(known | ~mask, right, jnp.nan)  # an index past the end would be clipped or wrapped without a word
    values = -(1.0 - smoothing) * right - smoothing * jnp.mean(log_p, axis=-1)
    real = jnp.sum(mask, axis=1, dtype=values.dtype)
    return LossRows(jnp.sum(jnp.where(mask, values, 0.0), axis=1) / jnp.maximum(real, 1.0), real > 0)
