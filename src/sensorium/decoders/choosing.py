"""A choice from a closed set of texts, said token by token: classification by whatever reads and weighs texts."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding
from sensorium.decoders.published import Prompted
from sensorium.decoders.sampling import NEVER
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import whole


class Chosen(NamedTuple):
    """The log-probability of each text, which of them begin as what was written so far, and the place of the next word."""

    logits: Float[jax.Array, "B A"]
    open: Bool[jax.Array, "B A"]
    start: Int[jax.Array, ""]


class ChoosingDecoder(nnx.Module):
    """Token ids i32[B L] about an `Encoding` -> logits f32[B L V]: those at place i are of the token after it.

    `choices`: all texts that it can write, as lists of ids: the mark that begins a text, words, the end. A gated perceptron
    weighs them by the pooled vector, and the probability of a token is the share that the texts with it have of those that begin
    as the words before it. So the log-probabilities of a text's tokens add up to that of its class, nothing else is ever written,
    and the loss of captions is the cross-entropy of classes.
    """

    def __init__(
        self, vocabulary: int, length: int, width: int, gist_width: int, choices: Sequence[Sequence[int]], *, rngs: nnx.Rngs
    ):
        self.vocabulary, self.length = whole("vocabulary", vocabulary), whole("length", length)
        rows = tuple(tuple(int(i) for i in row) for row in choices)
        if not rows or len(set(rows)) < len(rows) or any(not 2 <= len(row) <= length + 1 for row in rows):
            raise ValueError(f"{len(rows)} choices: expected one or more, each once, of 2 to {length + 1} tokens")
        if any(row[0] != rows[0][0] or not all(0 <= i < vocabulary for i in row) for row in rows):
            told = f"choices begin with {sorted({row[0] for row in rows})}"
            raise ValueError(f"{told}: expected one mark, and ids < {vocabulary}")
        self.choices = rows
        self.up = nnx.Linear(whole("gist_width", gist_width), 2 * width, rngs=rngs)
        quiet = nnx.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        self.head = nnx.Linear(width, len(rows), kernel_init=quiet, rngs=rngs)

    def __call__(
        self, text: Int[jax.Array, "B L"], context: Encoding, mask: Bool[jax.Array, "B L"] | None = None
    ) -> Float[jax.Array, "B L V"]:
        """All places at once, each knowing those up to itself. `mask` is for decoders that could look at what it leaves out."""
        table = jnp.asarray(self._table())[:, : text.shape[1]]
        agree = text[:, None, 1:] == table[None, :, 1:]
        still = jnp.cumprod(jnp.pad(agree, ((0, 0), (0, 0), (1, 0)), constant_values=True).astype(jnp.int32), axis=2) > 0
        logits, places = self.weigh(context), jnp.arange(text.shape[1])
        said = jax.vmap(self._next, in_axes=(None, 2, 0), out_axes=1)
        return said(logits, still, places)

    def weigh(self, context: Encoding) -> Float[jax.Array, "B A"]:
        """The log-probability of every choice."""
        gate, value = jnp.split(self.up(rms_norm(context.pooled)), 2, axis=-1)
        return jax.nn.log_softmax(self.head(jax.nn.gelu(gate) * value).astype(jnp.float32))

    def begin(self, context: Prompted, words: int) -> Chosen:
        """The cache after the prompt; with room for so many words."""
        length = context.prompt.shape[1]
        if length < 1 or words < 1 or length + words - 1 > self.length:
            room = f"this decoder has {self.length} places, and the last word needs none"
            raise ValueError(f"a prompt of {length} tokens and {words} words: {room}")
        table = jnp.asarray(self._table())
        agree = context.prompt[:, None, 1:] == table[None, :, 1:length]
        return Chosen(self.weigh(context.context), jnp.all(agree, axis=2), jnp.int32(length - 1))

    def step(
        self, before: Int[jax.Array, " B"], place: Int[jax.Array, ""], cache: Chosen
    ) -> tuple[Float[jax.Array, "B V"], Chosen]:
        """Logits of the word at `place`, given the one `before` it (at place 0 it says nothing) and the cache."""
        at = cache.start + place
        agree = before[:, None] == jnp.take(jnp.asarray(self._table()), at, axis=1, mode="clip")[None]
        still = cache.open & (agree | (place == 0))
        return self._next(cache.logits, still, at), cache._replace(open=still)

    def follow(self, cache: Chosen, rows: Int[jax.Array, " B"]) -> Chosen:
        """The cache of other beginnings: row i goes on where row `rows[i]` was, about what row i is about."""
        return cache._replace(open=cache.open[rows])

    def _next(
        self, logits: Float[jax.Array, "B A"], still: Bool[jax.Array, "B A"], place: Int[jax.Array, ""]
    ) -> Float[jax.Array, "B V"]:
        """Logits of the token after `place`: the shares that it has of the choices that are `still` open."""
        after = jnp.take(jnp.asarray(self._table()), place + 1, axis=1, mode="clip")
        highest = jax.lax.stop_gradient(jnp.max(jnp.where(still, logits, NEVER), axis=1, keepdims=True))
        weights = jnp.where(still, jnp.exp(jnp.minimum(logits - highest, 0.0)), 0.0)
        shares = weights @ jax.nn.one_hot(after, self.vocabulary, dtype=weights.dtype)
        return jnp.where(shares > 0, jnp.log(jnp.where(shares > 0, shares, 1.0)), NEVER)

    def _table(self) -> Int[np.ndarray, "A M"]:
        """The ids of the choices, −1 after the last of each."""
        out = np.full((len(self.choices), self.length + 1), -1, np.int32)
        for row, ids in zip(out, self.choices, strict=True):
            row[: len(ids)] = ids
        return out
