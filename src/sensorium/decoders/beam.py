"""Beam search: several beginnings of a text are followed side by side, and the best text that was found is given."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from sensorium.decoders.sampling import Ends
from sensorium.decoders.writer import Writer
from sensorium.nn.sizes import flat, whole


class Beams(NamedTuple):
    """The beginnings that are followed, best first, with their log-probabilities (−inf: none), and the best whole texts."""

    place: Int[jax.Array, ""]
    ids: Int[jax.Array, "B n L"]
    sums: Float[jax.Array, "B n"]
    likeliest: Bool[jax.Array, " B"]
    best: Int[jax.Array, "B m L"]
    scores: Float[jax.Array, "B m"]
    cache: Any


def search(
    decoder: Writer, context: Any, ends: Ends, beams: int, penalty: float = 0.0, length: int | None = None
) -> tuple[Int[jax.Array, "B L"], Float[jax.Array, " B"]]:
    """The best text a row among those found with so many `beams`, and its score: see `length_penalty`. Texts are of `length`
    places, as many as the decoder's longest has unless given.

    The greedy text is always among the candidates, so the score is never below that of greedy writing; one beam is greedy
    writing; enough of them are an exhaustive search. A row stops when nothing that it follows can become better than its best.
    """
    ids, found = several(decoder, context, ends, beams, 1, penalty, length)
    return ids[:, 0], found[:, 0]


def several(
    decoder: Writer, context: Any, ends: Ends, beams: int, many: int, penalty: float = 0.0, length: int | None = None
) -> tuple[Int[jax.Array, "B m L"], Float[jax.Array, "B m"]]:
    """The `many` best of the whole texts that a search with so many `beams` finds, best first; a score of −inf where it found
    fewer. No two are alike."""
    beams, penalty = checked(beams, penalty)
    rows, length = len(jax.tree.leaves(context)[0]), length or decoder.length
    every = jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), context)

    def go_on(state: Beams) -> jax.Array:
        hope = jnp.max(state.sums, axis=1) / length_penalty(length, penalty)  # sums only fall, and are divided by no more
        return (state.place < length) & jnp.any(hope > state.scores[:, -1])

    def step(state: Beams) -> Beams:
        before = jax.lax.dynamic_index_in_dim(state.ids, jnp.maximum(state.place - 1, 0), 2, keepdims=False)
        logits, cache = decoder.step(before.reshape(-1), state.place, state.cache)
        said = jax.nn.log_softmax(ends.words(logits)).reshape(rows, beams, decoder.vocabulary)
        parent, word, sums = _chosen(state, said)
        ids = jnp.take_along_axis(state.ids, parent[:, :, None], axis=1)
        ids = jax.lax.dynamic_update_slice_in_dim(ids, word[:, :, None], state.place, 2)
        whole = (word == ends.eos) | (state.place == length - 1)
        scores = jnp.where(whole, sums, -jnp.inf) / length_penalty(state.place + 1, penalty)
        scores, kept = jax.lax.top_k(jnp.concatenate([state.scores, scores], axis=1), many)  # of equal ones the first
        best = jnp.take_along_axis(jnp.concatenate([state.best, ids], axis=1), kept[:, :, None], axis=1)
        from_row = (jnp.arange(rows)[:, None] * beams + parent).reshape(-1)
        cache = decoder.follow(cache, from_row)
        sums, likeliest = jnp.where(whole, -jnp.inf, sums), state.likeliest & ~whole[:, 0]
        return Beams(state.place + 1, ids, sums, likeliest, best, scores, cache)

    ids = jnp.full((rows, beams, length), ends.pad, jnp.int32)
    sums = jnp.full((rows, beams), -jnp.inf).at[:, 0].set(0.0)
    best, none = jnp.full((rows, many, length), ends.pad, jnp.int32), jnp.full((rows, many), -jnp.inf)
    start = Beams(jnp.int32(0), ids, sums, jnp.ones(rows, bool), best, none, decoder.begin(every, length))
    found = jax.lax.while_loop(go_on, step, start)
    return found.best, found.scores


def checked(beams: int, penalty: float) -> tuple[int, float]:
    """The dials of a search as an int and a float; a `ValueError` where they are none."""
    if not 0 <= float(penalty) < float("inf"):
        raise ValueError(f"length_penalty={penalty}: expected a number of 0 or more")
    return whole("beams", beams), float(penalty)


def length_penalty(words: int | Int[jax.Array, "*B"], penalty: float) -> Float[jax.Array, "*B"]:
    """((5 + words) / 6)^penalty (Wu et al. 2016, eq. 14), by which the log-probability of a text is divided to be its score."""
    return ((5.0 + jnp.asarray(words).astype(jnp.float32)) / 6.0) ** penalty


def _chosen(state: Beams, said: Float[jax.Array, "B n V"]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The beginning, the next word and the log-probability of the best continuations, a row each. The likeliest continuation
    of the greedy text, which is the first beginning while it lasts, is always taken, and first."""
    _, beams, vocabulary = said.shape
    sums = flat(state.sums[:, :, None] + said)
    greedy = jnp.arange(sums.shape[1])[None] == jnp.argmax(said[:, 0], axis=1)[:, None]
    _, chosen = jax.lax.top_k(jnp.where(greedy & state.likeliest[:, None], jnp.inf, sums), beams)
    return chosen // vocabulary, chosen % vocabulary, jnp.take_along_axis(sums, chosen, axis=1)
