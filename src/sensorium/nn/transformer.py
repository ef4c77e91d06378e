"""A stack of transformer layers, the places of its tokens, and the vectors of its words."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.nn.attention import geglu, mixed_by
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import check_heads, whole
from sensorium.nn.stack import Stack


class Layer(nnx.Module):
    """Attention, then a gated perceptron (GEGLU, Shazeer 2020), each on a normed input and added to its residual stream.

    The heads stand side by side in `qkv`: the first third of its columns are the queries of all heads, then keys, then values.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], seen: Bool[jax.Array, "#B 1 #L L"]) -> Float[jax.Array, "B L D"]:
        """`seen[b, 0, i, j]`: token i of row b may look at token j. One that may look at nothing comes out finite, no more."""
        q, k, v = (
            part.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads)
            for part in jnp.split(self.qkv(rms_norm(x)), 3, axis=-1)
        )
        mixed = mixed_by(q, k, v, seen)
        x = x + self.out(mixed.reshape(x.shape))
        return x + self.down(geglu(self.up(rms_norm(x))))


class Transformer(Stack):
    """`depth` pre-norm layers (Vaswani et al. 2017; Xiong et al. 2020, fig. 1b) without dropout: tokens -> tokens.

    What comes out is normed, and zero where masked. Masked tokens are never heard; with `causal`, nor are later ones. `remat`
    and `scan`: see `Stack`.
    """

    def __init__(
        self, width: int, depth: int, heads: int, *, causal: bool = False, remat: bool = False, scan: bool = False, rngs: nnx.Rngs
    ):
        self.width, self.causal, self.remat, self.scan = width, causal, remat, scan
        self.layers = nnx.List([Layer(width, heads, rngs=rngs) for _ in range(depth)])

    def __call__(self, x: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"] | None = None) -> Float[jax.Array, "B L D"]:
        mask = jnp.ones(x.shape[:2], bool) if mask is None else mask
        seen = mask[:, None, None, :]
        if self.causal:
            seen = seen & jnp.tri(x.shape[1], dtype=bool)[None, None]
        return jnp.where(mask[:, :, None], rms_norm(self.through(x, seen)), 0.0)


class Positions(nnx.Module):
    """A vector for each place of a sequence, learned: at most `length` of them."""

    def __init__(self, length: int, width: int, *, scale: float = 0.25, rngs: nnx.Rngs):
        self.length = whole("length", length)
        self.table = nnx.Param(scale * jax.random.normal(rngs.params(), (length, width)))

    def __call__(self, length: int) -> Float[jax.Array, "L D"]:
        """The first `length`; a `ValueError` where there are fewer."""
        if length > self.length:
            raise ValueError(f"a sequence of {length}, where there are places for {self.length}")
        return self.table[:length]


def sinusoids(length: int, width: int, longest: float = 10_000.0) -> Float[jax.Array, "L D"]:
    """Positions without parameters (Vaswani et al. 2017, section 3.5): sines in the first half of `width`, cosines in the second.

    Wavelengths go from 2π to 2π·`longest` places; `width` is even.
    """
    if width % 2:
        raise ValueError(f"sinusoids of width {width}: expected an even width, a sine and a cosine for each wavelength")
    rates = longest ** (-np.arange(width // 2) / (width // 2))
    angles = np.arange(length)[:, None] * rates
    return jnp.asarray(np.concatenate([np.sin(angles), np.cos(angles)], axis=1), jnp.float32)


def look_up(table: Float[jax.Array, "V D"], ids: Int[jax.Array, "*B"]) -> Float[jax.Array, "*B D"]:
    """The rows of a table of words, for ids from 0 to V − 1."""
    if len(table) > 512:
        return table[ids]
    # The gradient of a look-up is a scatter, slow on CPU: a small table is cheaper as a product.
    return jax.nn.one_hot(ids, len(table), dtype=table.dtype) @ table
