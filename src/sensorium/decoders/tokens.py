"""A causal transformer that writes tokens about a context: all at once to learn, one by one with a cache to write."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.nn.attention import KeysValues, geglu, looked_up
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import check_heads, whole

REACH = 10.0
"""How much faster than other parameters the biases of distance move: they are the logits of a softmax over a whole text, of
which an optimiser with steps of one size for all would otherwise see nothing for hundreds of steps."""
READING, QUIET = 8, 0.01
"""Numbers that a place reads of the gist; the variance of the first logits, as a loud random head is unlearned first."""


class Context(NamedTuple):
    """What is written about: tokens to look at, all of them or those of a mask, and the gist of it all as one vector."""

    tokens: Float[jax.Array, "B K D"]
    gist: Float[jax.Array, "B D"]
    mask: Bool[jax.Array, "B K"] | None = None


class Cache(NamedTuple):
    """All that a decoder needs to go on: of the words so far and of the context, a layer each, the gist, and what of the context
    is looked at."""

    words: tuple[KeysValues, ...]
    context: tuple[KeysValues, ...]
    gist: Float[jax.Array, "B D"]
    mask: Bool[jax.Array, "B K"] | None = None


class DecoderBlock(nnx.Module):
    """Causal self-attention, attention to the context, a gated perceptron: each on a normed input, added to the residual
    stream (Vaswani et al. 2017, sec. 3.1). A learned bias for each head and distance, as in Raffel et al. (2020, sec. 2.1) but
    without buckets, lets a head look a certain number of words back."""

    def __init__(self, width: int, heads: int, length: int, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.distance = nnx.Param(jnp.zeros((heads, length)))
        self.ask = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.told = nnx.Linear(width, 2 * width, use_bias=False, rngs=rngs)
        self.heard = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def look(self, context: Float[jax.Array, "B K D"]) -> KeysValues:
        """What this layer keeps of a context; it is the same for every word."""
        return KeysValues.of(*jnp.split(self._split(self.told(rms_norm(context)), 2), 2, axis=2))

    def __call__(
        self,
        x: Float[jax.Array, "B L D"],
        start: int | Int[jax.Array, ""],
        words: KeysValues,
        context: KeysValues,
        present: Bool[jax.Array, "B K"] | None = None,
        looked: Bool[jax.Array, "B C"] | None = None,
    ) -> tuple[Float[jax.Array, "B L D"], KeysValues]:
        """The words at `start`, `start` + 1, …, and the keys and values of all words with these put in. `present`: the words that
        are seen; `looked`: what is looked at of the context."""
        q, k, v = jnp.split(self._split(self.qkv(rms_norm(x)), 3), 3, axis=2)
        words = words.put(KeysValues.of(k, v), start)
        back = (start + jnp.arange(x.shape[1]))[:, None] - jnp.arange(words.keys.shape[2])[None, :]
        seen = (back >= 0)[None, None]
        if present is not None:
            seen = seen & present[:, None, None, :]
        bias = REACH * jnp.take(self.distance[...], jnp.maximum(back, 0), axis=1)[None]
        x = x + self.out(looked_up(q, words, seen, bias).reshape(x.shape))
        ask = self._split(self.ask(rms_norm(x)), 1)
        there = None if looked is None else looked[:, None, None, :]
        x = x + self.heard(looked_up(ask, context, there).reshape(x.shape))
        return x + self.down(geglu(self.up(rms_norm(x)))), words

    def _split(self, x: Float[jax.Array, "B L E"], parts: int) -> Float[jax.Array, "B L many d"]:
        return x.reshape(*x.shape[:2], parts * self.heads, x.shape[2] // (parts * self.heads))


class TokenDecoder(nnx.Module):
    """Token ids i32[B L], L up to `length`, and a `Context` of this width -> logits of each given those before it, f32[B L V].

    No id begins a text: a learned vector stands before the first word. Every place reads the gist with a small matrix of its
    own, beside what the blocks make of the words and the tokens. So what each place tells of is learned at once and apart from
    grammar; by attention alone, which has to find it first, it took more than ten times as long.
    """

    def __init__(self, vocabulary: int, length: int, width: int, depth: int = 2, heads: int = 8, *, rngs: nnx.Rngs):
        self.vocabulary, self.length = whole("vocabulary", vocabulary), whole("length", length)
        self.width, self.heads = width, heads
        initial = nnx.initializers.normal(1.0)
        self.table = nnx.Param(initial(rngs.params(), (vocabulary, width)))
        self.before = nnx.Param(initial(rngs.params(), (width,)))
        self.place = nnx.Param(0.5 * initial(rngs.params(), (length, width)))
        self.read = nnx.Param(initial(rngs.params(), (length, width, READING)) / math.sqrt(width))
        self.spread = nnx.Linear(READING, width, use_bias=False, rngs=rngs)
        self.blocks = nnx.List([DecoderBlock(width, heads, length, rngs=rngs) for _ in range(depth)])
        quiet = nnx.initializers.variance_scaling(QUIET, "fan_in", "truncated_normal")
        self.head = nnx.Linear(width, vocabulary, kernel_init=quiet, rngs=rngs)

    def __call__(
        self, text: Int[jax.Array, "B L"], context: Context, mask: Bool[jax.Array, "B L"] | None = None
    ) -> Float[jax.Array, "B L V"]:
        """All places at once, each knowing the words before it; words that `mask` leaves out are not seen."""
        length = text.shape[1]
        if not 1 <= length <= self.length:
            raise ValueError(f"a text of {length} tokens, where this decoder was built for 1 to {self.length}")
        words, present = self._embed(text[:, :-1]), None
        if mask is not None:
            words = jnp.where(mask[:, :-1, None], words, 0.0)
            present = jnp.pad(mask[:, :-1], ((0, 0), (1, 0)), constant_values=True)
        return self._places(self._after_first(words), 0, self._empty(context, length), present)[0]

    def begin(self, context: Context, words: int | None = None, before: Int[jax.Array, "B P"] | None = None) -> Cache:
        """A cache with room for so many words (for the longest text, unless given), none of them there yet, or those `before`."""
        cache = self._empty(context, self.length if words is None else words)
        if before is None or not before.shape[1]:
            return cache
        return self._places(self._after_first(self._embed(before[:, :-1])), 0, cache, None)[1]

    def follow(self, cache: Cache, rows: Int[jax.Array, " B"]) -> Cache:
        """The cache of other beginnings: row i goes on where row `rows[i]` was, about what row i is about."""
        return cache._replace(words=jax.tree.map(lambda x: x[rows], cache.words))

    def step(
        self, before: Int[jax.Array, " B"], place: Int[jax.Array, ""], cache: Cache
    ) -> tuple[Float[jax.Array, "B V"], Cache]:
        """Logits of the word at `place`, given the one `before` it (at place 0 it says nothing) and the cache."""
        x = jnp.where(place == 0, self.before[...][None], self._embed(before))
        logits, cache = self._places(x[:, None], place, cache, None)
        return logits[:, 0], cache

    def _places(
        self,
        x: Float[jax.Array, "B L D"],
        start: int | Int[jax.Array, ""],
        cache: Cache,
        present: Bool[jax.Array, "B L"] | None,
    ) -> tuple[Float[jax.Array, "B L V"], Cache]:
        place, read = (jax.lax.dynamic_slice_in_dim(p[...], start, x.shape[1]) for p in (self.place, self.read))
        x, kept = x + place[None], []
        for block, words, context in zip(self.blocks, cache.words, cache.context, strict=True):
            x, words = block(x, start, words, context, present, cache.mask)
            kept.append(words)
        x = rms_norm(x) + self.spread(jnp.einsum("bd,ldr->blr", rms_norm(cache.gist), read))
        return self.head(rms_norm(x)), cache._replace(words=tuple(kept))

    def _after_first(self, words: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B M D"]:
        """What goes in at each place: what stands before the first word, then the words."""
        first = jnp.broadcast_to(self.before[...], (len(words), 1, self.width))
        return jnp.concatenate([first, words], axis=1)

    def _empty(self, context: Context, length: int) -> Cache:
        looks = tuple(block.look(context.tokens) for block in self.blocks)
        empty = jnp.zeros((len(context.gist), self.heads, length, self.width // self.heads), self.table.dtype)
        return Cache(tuple(KeysValues(empty, empty) for _ in looks), looks, context.gist, context.mask)

    def _embed(self, ids: Int[jax.Array, "*B"]) -> Float[jax.Array, "*B D"]:
        return jnp.take(self.table[...], ids, axis=0, mode="clip")
