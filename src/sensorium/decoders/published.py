"""Causal token decoders in the forms of published checkpoints: BLIP, Whisper. Equal parameters, equal numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding
from sensorium.core.table import Table
from sensorium.nn.attention import KeysValues
from sensorium.nn.standard import ACTIVATIONS, LayerNorm
from sensorium.nn.standard_context import ContextTransformer, Looked


@dataclass(frozen=True)
class DecoderForm:
    """How a published decoder differs from the next one.

    `norm_first`, `key_bias`: see `ContextLayer`; `norm_before` the layers, `norm_after` the last. `masked_head`: logits are made
    as BERT makes those of its masked words, with a linear layer, an activation and a norm before the table of words, and a
    bias after it; elsewhere by that table alone.
    """

    norm_first: bool = True
    key_bias: bool = True
    norm_before: bool = False
    norm_after: bool = True
    masked_head: bool = False


DECODER_FORMS = Table(
    "form of a decoder",
    {
        "whisper": DecoderForm(key_bias=False),
        "blip": DecoderForm(norm_first=False, norm_before=True, norm_after=False, masked_head=True),
    },
)


class Prompted(NamedTuple):
    """What a published decoder writes about: what was encoded, and the tokens that its words come after, one or more."""

    context: Encoding
    prompt: Int[jax.Array, "B P"]


class Cache(NamedTuple):
    """All that is needed to go on: of the words so far and of the context, a layer each; the last token of the prompt, and its
    place."""

    words: tuple[KeysValues, ...]
    context: Looked
    last: Int[jax.Array, " B"]
    start: Int[jax.Array, ""]


class MaskedHead(nnx.Module):
    """What BERT makes of a token before it is compared with the words (Devlin et al. 2019): linear, activation, norm."""

    def __init__(self, width: int, vocabulary: int, activation: str, eps: float, *, rngs: nnx.Rngs):
        self.activation = ACTIVATIONS[activation]
        self.dense = nnx.Linear(width, width, rngs=rngs)
        self.norm = LayerNorm(width, eps)
        self.bias = nnx.Param(jnp.zeros(vocabulary))

    def __call__(self, x: Float[jax.Array, "B L D"], table: Float[jax.Array, "V D"]) -> Float[jax.Array, "B L V"]:
        return self.norm(self.activation(self.dense(x))) @ table.T + self.bias[...][None, None]


class PublishedDecoder(nnx.Module):
    """Token ids i32[B L] about an `Encoding` of this width -> logits f32[B L V]: those at place i are of the token after it.

    `length`: how many places there are, of prompt and words together. `layers`: width, heads, hidden, activation and eps, as
    `StandardLayer` has them, and "depth". `context_width`: of the tokens of the encoding, as wide as the layers where it is 0.
    `begin`, `step` and `follow` make it a `Writer` about a `Prompted`.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        layers: Mapping[str, Any],
        form: str = "blip",
        context_width: int = 0,
        *,
        rngs: nnx.Rngs,
    ):
        said, self.form = dict(layers), DECODER_FORMS[form]
        self.vocabulary, self.length = vocabulary, length
        width, eps = said["width"], said.get("eps", 1e-5)
        said |= {"norm_first": self.form.norm_first, "key_bias": self.form.key_bias, "context_width": context_width or width}
        self.body = ContextTransformer(vocabulary, length, said, self.form.norm_before, self.form.norm_after, rngs=rngs)
        head = (width, vocabulary, said.get("activation", "gelu"), eps)
        self.head = MaskedHead(*head, rngs=rngs) if self.form.masked_head else None

    def __call__(
        self, text: Int[jax.Array, "B L"], context: Encoding, mask: Bool[jax.Array, "B L"] | None = None
    ) -> Float[jax.Array, "B L V"]:
        """All places at once, each knowing those up to itself; tokens that `mask` leaves out are not seen."""
        return self._logits(self.states(text, context, mask)[-1])

    def states(
        self, text: Int[jax.Array, "B L"], context: Encoding, mask: Bool[jax.Array, "B L"] | None = None
    ) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each: f32[B L D]."""
        if not 1 <= text.shape[1] <= self.length:
            raise ValueError(f"a text of {text.shape[1]} tokens, where this decoder was built for 1 to {self.length}")
        seen = jnp.tri(text.shape[1], dtype=bool)[None, None]
        if mask is not None:
            seen = seen & mask[:, None, None, :]
        return self.body(text, seen, self.body.look(context))[0]

    def begin(self, context: Prompted, words: int) -> Cache:
        """The cache after the prompt but for its last token, which the first step reads; with room for so many words."""
        (rows, length), looked = context.prompt.shape, self.body.look(context.context)
        if length < 1 or words < 1 or length + words - 1 > self.length:
            room = f"this decoder has {self.length} places, and the last word needs none"
            raise ValueError(f"a prompt of {length} tokens and {words} words: {room}")
        held = self.body.room(rows, length + words - 1)
        if length > 1:
            seen = jnp.tri(length - 1, length + words - 1, dtype=bool)[None, None]
            held = self.body(context.prompt[:, :-1], seen, looked, held)[1]
        return Cache(held, looked, context.prompt[:, -1], jnp.int32(length - 1))

    def step(
        self, before: Int[jax.Array, " B"], place: Int[jax.Array, ""], cache: Cache
    ) -> tuple[Float[jax.Array, "B V"], Cache]:
        """Logits of the word at `place`, given the one `before` it (at place 0 it says nothing) and the cache."""
        token, at = jnp.where(place == 0, cache.last, before), cache.start + place
        seen = (jnp.arange(cache.words[0].keys.shape[2]) <= at)[None, None, None]
        states, words = self.body(token[:, None], seen, cache.context, cache.words, at)
        return self._logits(states[-1])[:, 0], cache._replace(words=words)

    def follow(self, cache: Cache, rows: Int[jax.Array, " B"]) -> Cache:
        """The cache of other beginnings: row i goes on where row `rows[i]` was, about what row i is about."""
        return cache._replace(words=jax.tree.map(lambda x: x[rows], cache.words))

    def _logits(self, x: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B L V"]:
        table = self.body.table[...]
        return (x @ table.T if self.head is None else self.head(x, table)).astype(jnp.float32)
