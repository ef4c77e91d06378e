"""How likely given texts are: for answers from a list, and for a choice among captions."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from sensorium.decoders.writer import Writer

AT_ONCE = 8
"""Texts that are scored side by side; their caches are held at once."""


def scores(decoder: Writer, context: Any, ids: Int[jax.Array, "N L"], mask: Bool[jax.Array, "N L"]) -> Float[jax.Array, "B N"]:
    """The log-probability (nats) of each of N texts about every row of a context: the sum over its real tokens, the end with
    them where it is one of them. `context`: what this decoder writes about, see `Writer`; what all texts share is read once."""
    rows, start = len(jax.tree.leaves(context)[0]), decoder.begin(context, ids.shape[1])

    def score(text: tuple[jax.Array, jax.Array]) -> Float[jax.Array, " B"]:
        words, kept = text

        def step(state: tuple[Any, jax.Array, jax.Array], place: jax.Array) -> tuple[tuple[Any, jax.Array, jax.Array], None]:
            cache, before, sums = state
            logits, cache = decoder.step(before, place, cache)
            said = jax.nn.log_softmax(logits)[:, words[place]]
            return (cache, jnp.full(rows, words[place]), sums + jnp.where(kept[place], said, 0.0)), None

        first = (start, jnp.zeros(rows, words.dtype), jnp.zeros(rows))
        return jax.lax.scan(step, first, jnp.arange(len(words)))[0][2]

    return jax.lax.map(score, (ids, mask), batch_size=AT_ONCE).T
