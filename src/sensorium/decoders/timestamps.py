"""What may come next in a transcript with timestamps, as Whisper's authors have it in their code (Radford et al. 2022)."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from sensorium.decoders.writer import Rule
from sensorium.modalities.transcript import Marks


def unsaid(marks: Marks) -> Rule:
    """Some tokens are never written, and some are not written first."""
    never, first = (jnp.asarray(ids, jnp.int32) for ids in (marks.never, marks.never_first))

    def rule(logits: Float[jax.Array, "B V"], words: Int[jax.Array, "B W"], place: Int[jax.Array, ""]) -> Float[jax.Array, "B V"]:
        ids = jnp.arange(logits.shape[1])
        left_out = jnp.isin(ids, never) | ((place == 0) & jnp.isin(ids, first))
        return jnp.where(left_out[None], -jnp.inf, logits)

    return rule


def timed(marks: Marks) -> Rule:
    """Beside that of `unsaid`: a transcript begins with a timestamp, up to the `latest` that may; they come in pairs, but for one
    before the end, and never go back; between the two of a segment there is text; and where all timestamps together are likelier
    than any other token, one of them is written."""
    spoken, begin = unsaid(marks), marks.first

    def rule(logits: Float[jax.Array, "B V"], words: Int[jax.Array, "B W"], place: Int[jax.Array, ""]) -> Float[jax.Array, "B V"]:
        ids, places = jnp.arange(logits.shape[1])[None], jnp.arange(words.shape[1])[None]
        stamps = (words >= begin) & (places < place)
        one, two = (jnp.any(stamps & (places == place - back), axis=1)[:, None] for back in (1, 2))
        paired = one & (two | (place < 2))
        at = jnp.max(jnp.where(stamps, places, -1), axis=1)[:, None]
        last = jnp.take_along_axis(words, jnp.maximum(at, 0), axis=1)
        least = jnp.where(at < 0, begin, jnp.where(one & ~paired, last, last + 1))
        stamp = ids >= begin
        left_out = (ids == marks.plain) | (paired & stamp) | (one & ~paired & (ids < marks.end)) | (stamp & (ids < least))
        left_out = left_out | ((place == 0) & ~stamp)
        if marks.latest is not None:
            left_out = left_out | ((place == 0) & (ids > begin + marks.latest))
        logits = jnp.where(left_out, -jnp.inf, spoken(logits, words, place))
        said = jax.nn.log_softmax(logits)
        likelier = jax.nn.logsumexp(said[:, begin:], axis=1) > jnp.max(said[:, :begin], axis=1)
        return jnp.where(likelier[:, None] & ~stamp, -jnp.inf, logits)

    return rule
