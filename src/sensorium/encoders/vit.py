"""A vision transformer: patches as tokens, of pictures of any size that its patches fill."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoding, Grid
from sensorium.core.errors import UnknownName, nearest
from sensorium.nn.convolution import Patches
from sensorium.nn.pooling import AttentionPool, masked_mean, one_by_one
from sensorium.nn.sizes import whole
from sensorium.nn.transformer import Transformer

POOLINGS = ("map", "mean")


class ViT(nnx.Module):
    """Pictures u8[B H W 3] (or f32 in [-1, 1]) -> Encoding with a token a patch (Dosovitskiy et al. 2021).

    `size` (the side of a square, or height and width) is what the positions are learned at. Pictures of other sizes are read
    as well, as long as `patch` divides them: the grid of positions is resampled to theirs (bicubic; ibid., section 3.2).
    `pooling` is "map" (a learned question asked of all patches) or "mean". A mask leaves out patches, row by row of the grid.
    `remat` and `scan`: see `Transformer`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        patch: int = 8,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        pooling: str = "map",
        *,
        remat: bool = False,
        scan: bool = False,
        rngs: nnx.Rngs,
    ):
        if pooling not in POOLINGS:
            raise UnknownName(f"no pooling of patches is called {pooling!r}.{nearest(pooling, POOLINGS)}")
        height, across = (size, size) if isinstance(size, int) else size
        self.size, self.patch, self.pooled_width = (height, across), patch, width
        self._check(height, across)
        self.patches = Patches((patch, patch), 3, width, rngs=rngs)
        grid = (height // patch, across // patch, width)
        self.positions = nnx.Param(0.25 * jax.random.normal(rngs.params(), grid))
        self.transformer = Transformer(width, depth, heads, remat=remat, scan=scan, rngs=rngs)
        self.pool = AttentionPool(width, heads, rngs=rngs) if pooling == "map" else None

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"size": field.size}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["ViT", jax.Array]:
        pictures = jax.random.randint(rngs.data(), (3, 16, 16, 3), 0, 256).astype(jnp.uint8)
        return cls(16, width=8, depth=1, heads=2, rngs=rngs), pictures

    def __call__(self, x: Num[jax.Array, "B H W 3"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        self._check(*x.shape[1:3])
        if x.dtype == jnp.uint8:
            x = x.astype(jnp.float32) / 127.5 - 1.0
        grid = self.patches(x)
        grid = grid + self.positions_for(*grid.shape[1:3])[None]
        tokens = grid.reshape(len(grid), grid.shape[1] * grid.shape[2], grid.shape[3])
        mask = jnp.ones(tokens.shape[:2], bool) if mask is None else mask
        tokens = self.transformer(tokens, mask)
        return Encoding(tokens, mask, masked_mean(tokens, mask) if self.pool is None else self.pool(tokens, mask))

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return encoding.tokens if self.pool is None else one_by_one(self.pool, encoding.tokens)

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((shape[0] // self.patch, self.patch), (shape[1] // self.patch, self.patch))

    def positions_for(self, rows: int, columns: int) -> Float[jax.Array, "h w D"]:
        """The positions of a grid of patches: as learned, or resampled where it is not the one that they were learned at."""
        learned = self.positions[...]
        if learned.shape[:2] == (rows, columns):
            return learned
        return jax.image.resize(learned, (rows, columns, learned.shape[2]), "bicubic")

    def _check(self, height: int, width: int) -> None:
        whole("patch", self.patch)
        if height % self.patch or width % self.patch or not height * width:
            near = [max(1, round(side / self.patch)) * self.patch for side in (height, width)]
            raise ValueError(
                f"pictures of {height}×{width}, where this encoder is built for {self.size[0]}×{self.size[1]} and reads any "
                f"multiple of its patch, {self.patch}×{self.patch}: resize them, for instance to {near[0]}×{near[1]}"
            )
