"""Transformer layers that look about in windows of a grid, shifted in every second layer (Liu et al. 2021, Swin)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from sensorium.nn.sizes import check_heads
from sensorium.nn.standard import ACTIVATIONS, LayerNorm

Grid = Float[jax.Array, "B h w D"]
APART = -100.0
"""What is added to the score of two places that the shift brought into one window (Liu et al. 2021 and their code)."""


class SwinLayer(nnx.Module):
    """Attention within windows of `window`×`window` places and a perceptron, each after its norm and added (ibid., section 3.2).

    `shift`: places by which the grid is rolled before it is cut. A grid that is no larger than a window is one window, and
    not shifted; one that windows do not fill is filled up with zeros after the first norm, which are looked at as well.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        window: int,
        shift: int,
        activation: str = "gelu",
        eps: float = 1e-5,
        qkv_bias: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        check_heads(width, heads)
        self.heads, self.window, self.shift, self.activation = heads, window, shift, ACTIVATIONS[activation]
        self.norm_attention, self.norm_perceptron = LayerNorm(width, eps), LayerNorm(width, eps)
        self.query = nnx.Linear(width, width, use_bias=qkv_bias, rngs=rngs)
        self.key = nnx.Linear(width, width, use_bias=qkv_bias, rngs=rngs)
        self.value = nnx.Linear(width, width, use_bias=qkv_bias, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.nearness = nnx.Param(0.02 * jax.random.normal(rngs.params(), ((2 * window - 1) ** 2, heads)))
        self.up, self.down = nnx.Linear(width, hidden, rngs=rngs), nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: Grid) -> Grid:
        x = x + self._attend(self.norm_attention(x))
        return x + self.down(self.activation(self.up(self.norm_perceptron(x))))

    def _attend(self, x: Grid) -> Grid:
        (_, h, w, _), side = x.shape, self.window
        if min(h, w) < side:
            raise ValueError(f"a grid of {h}×{w}, where windows are {side}×{side}: it has to be as large as one at least")
        shift = self.shift if min(h, w) > side else 0
        filled = jnp.pad(x, ((0, 0), (0, -h % side), (0, -w % side), (0, 0)))
        windows = cut(jnp.roll(filled, (-shift, -shift), (1, 2)), side)
        mixed = self._mixed(windows, apart(filled.shape[1], filled.shape[2], side, shift))
        return jnp.roll(joined(mixed, filled.shape[1] // side), (shift, shift), (1, 2))[:, :h, :w]

    def _mixed(self, x: Float[jax.Array, "B W S D"], apart: Float[np.ndarray, "W S S"]) -> Float[jax.Array, "B W S D"]:
        q, k, v = (part(x).reshape(*x.shape[:3], self.heads, -1) for part in (self.query, self.key, self.value))
        scores = jnp.einsum("bwqhd,bwkhd->bwhqk", q, k).astype(jnp.float32) / q.shape[-1] ** 0.5
        near = self.nearness[...].astype(jnp.float32)[nearness(self.window)].transpose(2, 0, 1)
        scores = scores + near[None, None] + jnp.asarray(apart)[None, :, None]
        weights = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
        return self.out(jnp.einsum("bwhqk,bwkhd->bwqhd", weights, v).reshape(x.shape))


class PatchMerging(nnx.Module):
    """Four neighbours become one place of twice the width (ibid., section 3.1), a grid of h×w one of h/2×w/2, rounded up."""

    def __init__(self, width: int, eps: float = 1e-5, *, rngs: nnx.Rngs):
        self.norm = LayerNorm(4 * width, eps)
        self.reduction = nnx.Linear(4 * width, 2 * width, use_bias=False, rngs=rngs)

    def __call__(self, x: Grid) -> Float[jax.Array, "B half_h half_w D2"]:
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        four = [x[:, row::2, column::2] for column in range(2) for row in range(2)]
        return self.reduction(self.norm(jnp.concatenate(four, axis=-1)))


def cut(x: Grid, side: int) -> Float[jax.Array, "B W S D"]:
    """The windows of a grid, row by row, and the places of each, row by row."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // side, side, w // side, side, d).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, -1, side * side, d)


def joined(x: Float[jax.Array, "B W S D"], rows: int) -> Grid:
    """`cut`, the other way round; `rows` of windows."""
    b, windows, places, d = x.shape
    side, columns = round(places**0.5), windows // rows
    x = x.reshape(b, rows, columns, side, side, d).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, rows * side, columns * side, d)


def nearness(side: int) -> Int[np.ndarray, "S S"]:
    """Which entry of the table of relative positions belongs to each pair of places of a window (ibid., eq. 4)."""
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij")).reshape(2, -1)
    down, across = places[:, :, None] - places[:, None, :] + side - 1
    return down * (2 * side - 1) + across


def apart(h: int, w: int, side: int, shift: int) -> Float[np.ndarray, "W S S"]:
    """0 for places of a window that are neighbours in the grid, `APART` for those that the shift brought together."""

    def regions(length: int) -> np.ndarray:
        at = np.arange(length)
        return (at >= length - side).astype(int) + (at >= length - shift) if shift else np.zeros(length, int)

    grid = regions(h)[:, None] * 3 + regions(w)
    windows = grid.reshape(h // side, side, w // side, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
    return np.where(windows[:, :, None] == windows[:, None, :], 0.0, APART).astype(np.float32)
