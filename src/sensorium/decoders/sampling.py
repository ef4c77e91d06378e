"""Writing a text word by word in one compiled loop: the likeliest next word, or one drawn at random."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from sensorium.decoders.writer import Writer
from sensorium.nn.sizes import whole

NEVER, COLD = -1e9, 1e-30


@dataclass(frozen=True)
class Ends:
    """The id that ends a text, and the one that fills the places after it. They may be one."""

    pad: int = 0
    eos: int = 1

    def words(self, logits: Float[jax.Array, "*B V"]) -> Float[jax.Array, "*B V"]:
        """The logits, but for the filling, which is no word: it is never written (unless it is the end as well)."""
        if self.pad == self.eos:
            return logits
        return jnp.where(jnp.arange(logits.shape[-1]) == self.pad, NEVER, logits)


@dataclass(frozen=True)
class Sampling:
    """How a word is drawn: the logits over `temperature` (0: the likeliest word), then of the `top_k` likeliest words the
    fewest that hold a share of `top_p` (Holtzman et al. 2020, eq. 2). `None` leaves all in.

    As an argument of a compiled function it is three numbers, so that one program serves all of them.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        if not 0 <= float(self.temperature) < float("inf"):
            raise ValueError(f"temperature={self.temperature}: expected 0 (the likeliest word) or more")
        if self.top_p is not None and not 0 < float(self.top_p) <= 1:
            raise ValueError(f"top_p={self.top_p}: expected a share over 0, at most 1, or None for all")
        object.__setattr__(self, "temperature", float(self.temperature))
        object.__setattr__(self, "top_k", None if self.top_k is None else whole("top_k", self.top_k))
        object.__setattr__(self, "top_p", None if self.top_p is None else float(self.top_p))

    def kept(self, logits: Float[jax.Array, "*B V"]) -> Float[jax.Array, "*B V"]:
        """The logits that a word is drawn from, −inf for words that are left out. Of equally likely ones lower ids come first."""
        logits = logits - jnp.max(logits, axis=-1, keepdims=True)  # first: a small temperature must not overflow the likeliest
        logits = logits / jnp.maximum(self.temperature, COLD)
        order = jnp.argsort(-logits, axis=-1, stable=True)
        rank = jnp.argsort(order, axis=-1)
        if self.top_k is not None:
            logits = jnp.where(rank < self.top_k, logits, -jnp.inf)
        if self.top_p is not None:
            share = jnp.take_along_axis(jax.nn.softmax(logits, axis=-1), order, axis=-1)
            likelier = jnp.take_along_axis(jnp.cumsum(share, axis=-1) - share, rank, axis=-1)
            logits = jnp.where((likelier < self.top_p) | (rank == 0), logits, -jnp.inf)
        return logits

    def draw(self, logits: Float[jax.Array, "B V"], keys: Key[jax.Array, " B"]) -> Int[jax.Array, " B"]:
        """A word a row, each by its own key."""
        drawn = jax.vmap(jax.random.categorical)(keys, self.kept(logits))
        return jnp.where(jnp.equal(self.temperature, 0), jnp.argmax(logits, axis=-1), drawn)


def _numbers(sampling: Sampling) -> tuple[tuple[Any, Any, Any], None]:
    return (sampling.temperature, sampling.top_k, sampling.top_p), None


def _sampling(_: None, numbers: tuple[Any, Any, Any]) -> Sampling:
    made = object.__new__(Sampling)  # its numbers are traced ones, or were looked at before
    for name, number in zip(("temperature", "top_k", "top_p"), numbers, strict=True):
        object.__setattr__(made, name, number)
    return made


jax.tree_util.register_pytree_node(Sampling, _numbers, _sampling)


def write(
    decoder: Writer,
    context: Any,
    ends: Ends,
    sampling: Sampling,
    keys: Key[jax.Array, " B"] | None,
    length: int | None = None,
) -> tuple[Int[jax.Array, "B L"], Float[jax.Array, " B"]]:
    """A text a row of `length` places (as many as the decoder's longest has, unless given): words, the end, then filling; and
    the log-probability of each (nats). `context`: what this decoder writes about, see `Writer`.

    Without keys every word is the likeliest one. A text that does not end within its length has no end. The loop stops when
    all rows have ended.
    """
    rows, length = len(jax.tree.leaves(context)[0]), length or decoder.length

    def go_on(state):
        place, _, _, _, done, _ = state
        return (place < length) & ~jnp.all(done)

    def step(state):
        place, before, ids, scores, done, cache = state
        logits, cache = decoder.step(before, place, cache)
        logits = ends.words(logits)
        word = (
            jnp.argmax(logits, -1)
            if keys is None
            else sampling.draw(logits, jax.vmap(jax.random.fold_in, (0, None))(keys, place))
        )
        said = jnp.take_along_axis(jax.nn.log_softmax(logits), word[:, None], axis=1)[:, 0]
        word = jnp.where(done, ends.pad, word).astype(jnp.int32)
        ids = jax.lax.dynamic_update_slice_in_dim(ids, word[:, None], place, 1)
        return place + 1, word, ids, scores + jnp.where(done, 0.0, said), done | (word == ends.eos), cache

    ids = jnp.full((rows, length), ends.pad, jnp.int32)
    start = (jnp.int32(0), ids[:, 0], ids, jnp.zeros(rows), jnp.zeros(rows, bool), decoder.begin(context, length))
    _, _, ids, scores, _, _ = jax.lax.while_loop(go_on, step, start)
    return ids, scores
