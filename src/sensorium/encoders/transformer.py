"""A deep transformer over tokens, for texts of any length up to a limit, with a choice of what becomes of its tokens."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding, Grid
from sensorium.core.errors import UnknownName, nearest
from sensorium.nn.pooling import AttentionPool, apart, at_end, masked_mean, one_by_one, side_by_side
from sensorium.nn.sizes import whole
from sensorium.nn.transformer import Positions, Transformer, look_up

POOLINGS = ("cls", "eos", "flatten", "map", "mean")


class TokenTransformer(nnx.Module):
    """Token ids i32[B L], L at most `length`, and their mask -> Encoding. A shorter text is one whose last places are masked.

    `pooling`: "mean" of the real tokens; "eos", the token at the first id `end` (where there is none, the last real token);
    "cls", a learned token that stands before the text and hears all of it; "map", a learned question asked of all tokens;
    "flatten", the tokens side by side, zeros where masked (the only one that keeps places apart: for short texts of fixed
    form). A row without any token is zero. Ids are expected in [0, vocabulary).
    `remat` and `scan`: see `Transformer`.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        pooling: str = "mean",
        end: int = 1,
        *,
        remat: bool = False,
        scan: bool = False,
        rngs: nnx.Rngs,
    ):
        if pooling not in POOLINGS:
            raise UnknownName(f"no pooling of a text is called {pooling!r}.{nearest(pooling, POOLINGS)}")
        self.vocabulary, self.length = whole("vocabulary", vocabulary), whole("length", length)
        self.pooling, self.end = pooling, end
        self.table = nnx.Param(jax.random.normal(rngs.params(), (vocabulary, width)))
        self.positions = Positions(length, width, rngs=rngs)
        self.transformer = Transformer(width, depth, heads, remat=remat, scan=scan, rngs=rngs)
        self.first = nnx.Param(jax.random.normal(rngs.params(), (width,))) if pooling == "cls" else None
        self.pool = AttentionPool(width, heads, rngs=rngs) if pooling == "map" else None
        self.pooled_width = length * width if pooling == "flatten" else width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"vocabulary": field.vocabulary_size, "length": field.length, "end": field.end}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["TokenTransformer", jax.Array]:
        return cls(11, 6, width=8, depth=1, heads=2, rngs=rngs), jax.random.randint(rngs.data(), (3, 6), 0, 11)

    def __call__(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        if x.shape[1] > self.length:
            raise ValueError(
                f"a text of {x.shape[1]} tokens, where this encoder was built for at most {self.length}: cut the text, or "
                f"build the encoder for {x.shape[1]}"
            )
        mask = jnp.ones(x.shape, bool) if mask is None else mask
        tokens = look_up(self.table[...], x) + self.positions(x.shape[1])[None]
        if self.first is not None:
            return self._with_first(tokens, mask)
        tokens = self.transformer(tokens, mask)
        return Encoding(tokens, mask, self._pooled(tokens, mask, x))

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        if self.pool is not None:
            return one_by_one(self.pool, encoding.tokens)
        if self.pooling == "flatten":
            return apart(encoding.pooled, encoding.tokens.shape[2])[:, : encoding.tokens.shape[1]]
        return encoding.tokens

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((shape[0], 1),)

    def _with_first(self, tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"]) -> Encoding:
        some = jnp.any(mask, axis=1, keepdims=True)
        first = jnp.broadcast_to(self.first[...], (len(tokens), 1, tokens.shape[2]))  # pyright: ignore[reportOptionalSubscript]
        out = self.transformer(jnp.concatenate([first, tokens], axis=1), jnp.concatenate([some, mask], axis=1))
        return Encoding(out[:, 1:], mask, out[:, 0])

    def _pooled(
        self, tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"], ids: Int[jax.Array, "B L"]
    ) -> Float[jax.Array, "B P"]:
        if self.pool is not None:
            return self.pool(tokens, mask)
        if self.pooling == "eos":
            return at_end(tokens, mask, ids, self.end)
        if self.pooling == "flatten":
            return side_by_side(tokens, mask, self.length)
        return masked_mean(tokens, mask)
