"""A transformer over tokens, small enough to train on a CPU in minutes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding, Grid
from sensorium.nn.attention import Block, Neighbours
from sensorium.nn.norms import rms_norm
from sensorium.nn.pooling import apart
from sensorium.nn.sizes import flat


class TextTransformer(nnx.Module):
    """Token ids i32[B L] and their mask -> Encoding; `pooled` lays the tokens side by side, zeros where masked."""

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int = 64,
        depth: int = 1,
        heads: int = 4,
        window: int = 9,
        *,
        rngs: nnx.Rngs,
    ):
        self.vocabulary, self.length = vocabulary, length
        initial = nnx.initializers.normal(1.0)
        self.table = nnx.Param(initial(rngs.params(), (vocabulary, width)))
        self.position = nnx.Param(initial(rngs.params(), (length, width)) * 0.5)
        self.neighbours = Neighbours(width, window, rngs=rngs)
        self.blocks = nnx.List([Block(width, heads, rngs=rngs) for _ in range(depth)])
        self.pooled_width = length * width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"vocabulary": field.vocabulary_size, "length": field.length}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["TextTransformer", jax.Array]:
        return cls(11, 6, width=8, heads=2, rngs=rngs), jax.random.randint(rngs.data(), (3, 6), 0, 11)

    def __call__(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        if x.shape[1] != self.length:
            raise ValueError(f"a text of {x.shape[1]} tokens, where this encoder was built for {self.length}")
        mask = jnp.ones(x.shape, bool) if mask is None else mask
        tokens = self.neighbours(self._embed(x) + self.position[...][None], mask)
        for block in self.blocks:
            tokens = block(tokens, mask)
        tokens = jnp.where(mask[:, :, None], rms_norm(tokens), 0.0)
        return Encoding(tokens, mask, flat(tokens))

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return apart(encoding.pooled, encoding.tokens.shape[2])

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((shape[0], 1),)

    def _embed(self, x: Int[jax.Array, "B L"]) -> Float[jax.Array, "B L D"]:
        if self.vocabulary > 512:
            return self.table[...][x]
        # The gradient of a look-up is a scatter, slow on CPU: a small table is cheaper as a product.
        return jax.nn.one_hot(x, self.vocabulary, dtype=self.table.dtype) @ self.table[...]
