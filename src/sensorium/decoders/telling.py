"""A `TokenDecoder` that writes about an `Encoding`, in the ids of a field of texts: the mark that begins one, words, the end."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding
from sensorium.decoders.published import Prompted
from sensorium.decoders.tokens import Cache, Context, TokenDecoder
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import whole


class Begun(NamedTuple):
    """The cache of the decoder within, the last token of the prompt, and the place of the word after it."""

    inner: Cache
    last: Int[jax.Array, " B"]
    start: Int[jax.Array, ""]


class TellingDecoder(nnx.Module):
    """Token ids i32[B L] about an `Encoding` -> logits f32[B L V]: those at place i are of the token after it.

    The first id begins a text and says nothing. `length`: how many places there are, of prompt and words together.
    `context_width`, `gist_width`: of the tokens that it looks at, which are to know their places, and of the pooled vector.
    `begin`, `step` and `follow` make it a `Writer` about a `Prompted`.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        context_width: int,
        gist_width: int,
        depth: int = 2,
        heads: int = 8,
        *,
        rngs: nnx.Rngs,
    ):
        self.vocabulary, self.length = whole("vocabulary", vocabulary), whole("length", length)
        self.tokens = nnx.Linear(whole("context_width", context_width), width, use_bias=False, rngs=rngs)
        self.gist = nnx.Linear(whole("gist_width", gist_width), width, use_bias=False, rngs=rngs)
        self.inner = TokenDecoder(vocabulary, length, width, depth, heads, rngs=rngs)

    def __call__(
        self, text: Int[jax.Array, "B L"], context: Encoding, mask: Bool[jax.Array, "B L"] | None = None
    ) -> Float[jax.Array, "B L V"]:
        """All places at once, each knowing those up to itself; tokens that `mask` leaves out are not seen."""
        words = jnp.roll(text, -1, axis=1)  # the last of them is not read
        seen = None if mask is None else jnp.roll(mask, -1, axis=1)
        return self.inner(words, self.about(context), seen)

    def about(self, context: Encoding) -> Context:
        """An encoding at the width of the decoder. What is masked has no effect, a NaN neither."""
        tokens = jnp.where(context.mask[:, :, None], context.tokens, 0.0)
        return Context(self.tokens(rms_norm(tokens)), self.gist(rms_norm(context.pooled)), context.mask)

    def begin(self, context: Prompted, words: int) -> Begun:
        """The cache after the prompt but for its last token, which the first step reads; with room for so many words."""
        length = context.prompt.shape[1]
        if length < 1 or words < 1 or length + words - 1 > self.length:
            room = f"this decoder has {self.length} places, and the last word needs none"
            raise ValueError(f"a prompt of {length} tokens and {words} words: {room}")
        held = self.inner.begin(self.about(context.context), length + words - 1, context.prompt[:, 1:])
        return Begun(held, context.prompt[:, -1], jnp.int32(length - 1))

    def step(
        self, before: Int[jax.Array, " B"], place: Int[jax.Array, ""], cache: Begun
    ) -> tuple[Float[jax.Array, "B V"], Begun]:
        """Logits of the word at `place`, given the one `before` it (at place 0 it says nothing) and the cache."""
        logits, inner = self.inner.step(jnp.where(place == 0, cache.last, before), cache.start + place, cache.inner)
        return logits, cache._replace(inner=inner)

    def follow(self, cache: Begun, rows: Int[jax.Array, " B"]) -> Begun:
        """The cache of other beginnings: row i goes on where row `rows[i]` was, about what row i is about."""
        return cache._replace(inner=self.inner.follow(cache.inner, rows))


def teacher_forced(
    decoder: Callable[..., Float[jax.Array, "B L V"]],
    text: Int[jax.Array, "B L"],
    about: Encoding,
    mask: Bool[jax.Array, "B L"] | None,
) -> Float[jax.Array, "B L V"]:
    """Logits of each token given the true ones before it; of the first, which is given, zeros."""
    said = decoder(text[:, :-1], about, None if mask is None else mask[:, :-1])
    return jnp.pad(said, ((0, 0), (1, 0), (0, 0)))
