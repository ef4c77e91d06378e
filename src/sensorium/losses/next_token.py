"""Text as a sequence of choices: cross-entropy of each word, never a distance between ids."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from sensorium.core.batch import here
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


@dataclass(frozen=True)
class Captioning:
    """`next_token` of `"<field>/logits"` f32[B L V] against the batch's ids `field` i32[B L], real by `"<field>/mask"`.
    Of several texts a row, f32[B K L V] and i32[B K L], a row's mean is that over the tokens of all of them.

    Beside `InfoNCE` it is CoCa's other half (Yu et al. 2022, eq. 4): `{"contrast": (1.0, InfoNCE("image", "text")), "caption":
    (2.0, Captioning("text", given=("image",)))}`. A row counts where the field is there, every field of `given` (what is told
    about) is, and a word of it is real; where the outputs have `"<field>/known"` bool[B], it must be True as well. Without a mask
    in the batch every token is real. `begun`: the first token is given with the rest, as a `Generator` has it, and no word to be
    learned.
    """

    field: str
    given: tuple[str, ...] = ()
    smoothing: float = 0.0
    begun: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing={self.smoothing}: it is a share of the target, from 0 to less than 1")

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        text, counts = jnp.asarray(batch[self.field]), jnp.asarray(here(batch, self.field, *self.given))
        counts = counts & outputs.get(f"{self.field}/known", jnp.ones(len(text), bool))  # whether anything was there to go by
        mask = jnp.asarray(batch[f"{self.field}/mask"]) if f"{self.field}/mask" in batch else jnp.ones(text.shape, bool)
        if self.begun:
            mask = mask & jnp.broadcast_to(jnp.arange(text.shape[-1]) > 0, text.shape)
        logits, rows = outputs[f"{self.field}/logits"].astype(jnp.float32), (len(text), -1)
        mask = mask.reshape(rows) & counts[:, None]
        return next_token(logits.reshape(*rows, logits.shape[-1]), text.reshape(rows), mask, self.smoothing)
