"""What should be where, thing by thing: each is drawn on a canvas of its own, which is then written where it belongs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.decoders.patches import cells, cut
from sensorium.decoders.sketch import Sketch, Sketched, gist_of
from sensorium.nn.attention import Block, CrossAttention
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import whole

REST = 0.5
"""How fast the chances of a way fall at first with the square of its length: a thing that nothing moves stays where it is."""
URGE = 3.0
"""What a slot says of ways counts so many times."""


class Slots(nnx.Module):
    """An `Encoding` -> `Sketched`, whose cells are the patches of the grid itself: for grids that show some things on a ground.

    Each of `things` slots (Locatello et al. 2020) is a learned vector that looks at the tokens, at nothing else. What it finds
    is drawn on a `canvas`, smaller than the grid, as a sum of `rank` forms, each in one colour (channels), of `wide` rectified
    features. For each axis of the grid the slot says with what chance the middle of its canvas is at each place, and by a matrix
    of these for each axis the canvas is written into the grid (DRAW, Gregor et al. 2015, section 3.2, whose matrices hold
    Gaussians). So what a thing looks like is learned once, wherever it is, and a thing is blurred only as far as it is open
    where it is. What is written is added up, on a ground of one learned colour.

    `moves`: the first axis of the grid is time. At each moment a thing is up to `moves` places away, along each axis, from where
    it belongs, again by chances; and it looks like a mixture of `looks` drawings, as it may come closer.

    A `ValueError` where the patches do not fill the grid, or the canvas has not one side for each axis (but that of time).
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        patch: Sequence[int],
        tokens: int,
        things: int,
        canvas: Sequence[int],
        width: int = 192,
        depth: int = 1,
        heads: int = 4,
        rank: int = 4,
        wide: int = 512,
        moves: int | None = None,
        looks: int = 3,
        *,
        rngs: nnx.Rngs,
    ):
        self.patch, self.cells = tuple(patch), cells(tuple(shape), tuple(patch))
        self.moments, self.axes = (1, tuple(shape)) if moves is None else (shape[0], tuple(shape[1:]))
        self.canvas, self.rank, self.channels = tuple(canvas), whole("rank", rank), channels
        if len(self.canvas) != len(self.axes) or not self.axes or min(self.canvas) < 1:
            raise ValueError(f"a canvas of {self.canvas} for axes of {self.axes}: expected a number of 1 or more for each")
        self.ways = 0 if moves is None else 2 * whole("moves", moves) + 1
        self.looks = 1 if moves is None else whole("looks", looks)
        self.slot = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (whole("things", things), width)))
        self.gist = nnx.Linear(2 * tokens, width, rngs=rngs)
        self.look = nnx.List([CrossAttention(width, heads, tokens, rngs=rngs) for _ in range(depth)])
        self.layers = nnx.List([Block(width, heads, rngs=rngs) for _ in range(depth)])
        self.wide = nnx.Linear(width, wide, rngs=rngs)
        self.forms = nnx.Linear(wide, math.prod(self.canvas) * self.rank * self.looks, rngs=rngs)
        zeros = nnx.initializers.zeros
        self.colours = nnx.Linear(width, self.rank * channels, kernel_init=zeros, rngs=rngs)
        self.where = nnx.Linear(width, sum(self.axes), rngs=rngs)
        self.ground = nnx.Param(jnp.zeros((channels,)))
        self.way = nnx.Linear(wide, len(self.axes) * self.moments * self.ways, rngs=rngs) if self.ways else None
        self.mixed = nnx.Linear(wide, self.moments * self.looks, kernel_init=zeros, rngs=rngs) if self.ways else None

    @property
    def token(self) -> int:
        """Numbers in a cell."""
        return math.prod(self.patch) * self.channels

    def __call__(self, about: Encoding) -> Sketched:
        x = self.slot[...][None] + self.gist(gist_of(about))[:, None]
        everything = jnp.ones(x.shape[:2], bool)
        for look, layer in zip(self.look, self.layers, strict=True):
            x = layer(x + look(rms_norm(x), about.tokens, about.mask), everything)
        x = rms_norm(x)
        features = jax.nn.gelu(self.wide(x))
        drawn, last = self._drawn(x, features), len(self.axes) - 1
        for i, chances in enumerate(self._chances(x, features)):  # axes before this one are written, those after it are not
            n, size = self.axes[i], self.canvas[i]
            before, after = math.prod(self.axes[:i]), math.prod(self.canvas[i + 1 :]) * self.channels
            drawn = drawn.reshape(*x.shape[:2], self.moments, before, size, after)
            form = "bktnw,bktawz->btanz" if i == last else "bktnw,bktawz->bktanz"
            drawn = jnp.einsum(form, banded(chances, n, size), drawn)
        moments = (self.moments,) if self.ways else ()
        grid = drawn.reshape(len(x), -1, self.channels) + self.ground[...][None, None]
        grid = grid.reshape(len(x), *moments, *self.axes, self.channels)
        return Sketched(cut(grid, self.patch), grid)

    def _drawn(self, x: Float[jax.Array, "B K D"], features: Float[jax.Array, "B K F"]) -> Float[jax.Array, "B K T P C"]:
        """What is on the canvas of each slot at each moment."""
        forms = self.forms(features).reshape(*x.shape[:2], self.looks, -1, self.rank)
        canvas = jnp.einsum("bklpr,bkrc->bklpc", forms, self.colours(x).reshape(*x.shape[:2], self.rank, -1))
        if self.mixed is None:
            return canvas
        first = jnp.eye(self.looks)[None, None, :1]
        shares = self.mixed(features).reshape(*x.shape[:2], self.moments, self.looks) + first
        return jnp.einsum("bklpc,bktl->bktpc", canvas, shares)

    def _chances(self, x: Float[jax.Array, "B K D"], features: Float[jax.Array, "B K F"]) -> list[Float[jax.Array, "B K T N"]]:
        """Of each axis, where the middle of each canvas is at each moment."""
        placed = jnp.split(self.where(x)[:, :, None], np.cumsum(self.axes)[:-1], axis=-1)
        placed = [jax.nn.softmax(one, axis=-1) for one in placed]
        if self.way is None:
            return placed
        moved = self.way(features).reshape(*x.shape[:2], len(placed), self.moments, self.ways)
        lengths = jnp.arange(self.ways, dtype=jnp.float32) - self.ways // 2
        moved = jax.nn.softmax(URGE * moved - REST * jnp.square(lengths).reshape(1, 1, 1, 1, -1), axis=-1)
        return [
            jnp.einsum("bknw,bktw->bktn", banded(one[:, :, 0], n, self.ways), moved[:, :, i])
            for i, (one, n) in enumerate(zip(placed, self.axes, strict=True))
        ]


def sketch_of(
    arguments: Mapping[str, Any], shape: Sequence[int], channels: int, vector: int, tokens: int, rngs: nnx.Rngs
) -> Sketch | Slots:
    """`Slots` where the arguments say how many `things`, else a `Sketch`."""
    if "things" in arguments:
        return Slots(shape, channels, **arguments, tokens=tokens, rngs=rngs)
    return Sketch(shape, channels, **arguments, vector=vector, tokens=tokens, rngs=rngs)


def banded(x: Float[jax.Array, "*B N"], n: int, size: int) -> Float[jax.Array, "*B N W"]:
    """The matrices that write `size` numbers into `n`, the one in the middle at place i with chance x[i]: [p, w] is
    x[p − w + size // 2], and 0 beyond the ends."""
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(size, size)])
    return padded[..., np.arange(n)[:, None] - np.arange(size)[None] + size // 2 + size]
