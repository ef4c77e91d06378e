"""A small convolutional encoder for pictures and other grids, made to train on a CPU in minutes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoding, Grid
from sensorium.nn.convolution import Convolution, Patches
from sensorium.nn.norms import rms_norm
from sensorium.nn.pooling import apart
from sensorium.nn.sizes import flat, whole


class ConvTrunk(nnx.Module):
    """Patches, a halving convolution for each further width, and a residual one at the end: grid -> smaller, wider grid."""

    def __init__(self, patch: tuple[int, int], channels: int, widths: Sequence[int], *, rngs: nnx.Rngs):
        self.patches = Patches(patch, channels, widths[0], rngs=rngs)
        self.halve = nnx.List([Convolution(a, b, 2, rngs=rngs) for a, b in pairwise(widths)])
        self.refine = Convolution(widths[-1], widths[-1], 1, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B H W C"]) -> Float[jax.Array, "B h w D"]:
        x = jax.nn.gelu(self.patches(x))
        for halve in self.halve:
            x = jax.nn.gelu(halve(rms_norm(x)))
        return x + jax.nn.gelu(self.refine(rms_norm(x)))


class ConvNet(nnx.Module):
    """Pictures u8[B H W C] (or f32 in [-1, 1]) -> Encoding. `pooled` is the flattened last grid: places stay apart.

    `size` is the side of a square, or height and width. `placed`: a token also tells where it lies, by a learned vector, to those
    who look at tokens by attention and would hardly know; `pooled` needs no such thing.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        channels: int = 3,
        patch: int = 4,
        widths: Sequence[int] = (32, 64, 128),
        placed: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        height, width = (size, size) if isinstance(size, int) else size
        self.shape = (whole("height", height), whole("width", width), whole("channels", channels))
        self.trunk = ConvTrunk((patch, patch), channels, widths, rngs=rngs)
        rows, columns = height // patch, width // patch
        for _ in widths[1:]:
            rows, columns = -(-rows // 2), -(-columns // 2)
        self.pooled_width = rows * columns * widths[-1]
        self.places = Places(rows * columns, widths[-1], rngs=rngs) if placed else None
        self.lattice = ((rows, patch * 2 ** (len(widths) - 1)), (columns, patch * 2 ** (len(widths) - 1)))

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"size": field.size, "channels": getattr(field, "channels", 3)}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["ConvNet", jax.Array]:
        pictures = jax.random.randint(rngs.data(), (3, 16, 16, 3), 0, 256).astype(jnp.uint8)
        return cls(16, widths=(8, 12), rngs=rngs), pictures

    def __call__(self, x: Num[jax.Array, "B H W C"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        if x.shape[1:] != self.shape:
            raise ValueError(f"pictures of shape {x.shape[1:]}, where this encoder was built for {self.shape}")
        if x.dtype == jnp.uint8:
            x = x.astype(jnp.float32) / 127.5 - 1.0
        encoding = flattened(self.trunk(x))
        return encoding if self.places is None else self.places(encoding)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return apart(encoding.pooled, encoding.tokens.shape[2])

    def grid(self, shape: Sequence[int]) -> Grid:
        return self.lattice


class Places(nnx.Module):
    """A learned vector for each token, added to it; `pooled` stays as it is."""

    def __init__(self, tokens: int, width: int, *, rngs: nnx.Rngs):
        self.vectors = nnx.Param(0.5 * jax.random.normal(rngs.params(), (tokens, width)))

    def __call__(self, encoding: Encoding) -> Encoding:
        placed = encoding.tokens + self.vectors[...].astype(encoding.tokens.dtype)[None]
        return encoding._replace(tokens=jnp.where(encoding.mask[:, :, None], placed, 0.0))


def flattened(grid: Float[jax.Array, "B h w D"]) -> Encoding:
    """The cells of a grid as tokens, all of them present; pooled by laying them side by side."""
    tokens = rms_norm(grid.reshape(len(grid), grid.shape[1] * grid.shape[2], grid.shape[3]))
    return Encoding(tokens, jnp.ones(tokens.shape[:2], bool), flat(tokens))
