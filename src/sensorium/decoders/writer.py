"""The contract of decoders that write: what `write`, `search` and `scores` ask of one, whatever it writes about."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int


@runtime_checkable
class Writer(Protocol):
    """Words one by one, about a context: any pytree of arrays whose first axis is the rows.

    A cache is a pytree too, of shapes that do not change from word to word. Where a context holds a prompt, equally long for
    all rows, the words come after it: place 0 is the first word that is written.
    """

    vocabulary: int
    length: int

    def begin(self, context: Any, words: int) -> Any:
        """The cache before the first word, with room for so many words."""
        ...

    def step(self, before: Int[jax.Array, " B"], place: Int[jax.Array, ""], cache: Any) -> tuple[Float[jax.Array, "B V"], Any]:
        """Logits of the word at `place`, given the one `before` it (at place 0 it says nothing) and the cache."""
        ...

    def follow(self, cache: Any, rows: Int[jax.Array, " B"]) -> Any:
        """The cache of other beginnings of the same context: row i goes on where row `rows[i]` was."""
        ...


Rule = Callable[[Float[jax.Array, "B V"], Int[jax.Array, "B W"], Int[jax.Array, ""]], Float[jax.Array, "B V"]]
"""Logits of the word at a place, given the words that were written (before that place; behind it stands nothing that counts)."""


class Written(NamedTuple):
    """The cache of the decoder within, and the words so far."""

    inner: Any
    words: Int[jax.Array, "B W"]


class Ruled:
    """A `Writer` whose words obey a rule: tokens that are never written, or not after certain others.

    `rule(logits, words, place)` gives the logits that count, −inf (or very small) for what may not be written; `words` i32[B W]
    holds what was written at the places before `place`. It is traced once, within the loop. A rule that needs more than the
    words (a running state) is a `Writer` of its own in the same way: its cache holds the inner one beside that state, `step`
    calls the inner `step` and changes its logits, and `follow` takes the rows of both.
    """

    def __init__(self, inner: Writer, rule: Rule):
        self.inner, self.rule = inner, rule
        self.vocabulary, self.length = inner.vocabulary, inner.length

    def begin(self, context: Any, words: int) -> Written:
        rows = len(jax.tree.leaves(context)[0])
        return Written(self.inner.begin(context, words), jnp.zeros((rows, words), jnp.int32))

    def step(
        self, before: Int[jax.Array, " B"], place: Int[jax.Array, ""], cache: Written
    ) -> tuple[Float[jax.Array, "B V"], Written]:
        put = jax.lax.dynamic_update_slice_in_dim(cache.words, before[:, None].astype(jnp.int32), jnp.maximum(place - 1, 0), 1)
        words = jnp.where(place > 0, put, cache.words)
        logits, inner = self.inner.step(before, place, cache.inner)
        return self.rule(logits, words, place), Written(inner, words)

    def follow(self, cache: Written, rows: Int[jax.Array, " B"]) -> Written:
        return Written(self.inner.follow(cache.inner, rows), cache.words[rows])
