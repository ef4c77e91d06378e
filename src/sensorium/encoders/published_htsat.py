"""HTSAT (Chen et al. 2022) in the form of CLAP's published checkpoints: a Swin transformer over a log-mel spectrogram that is
folded to a square. Equal parameters, equal numbers; `sensorium.pretrained` fills them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.nn.batch_norm import StoredNorm
from sensorium.nn.cubic import cubic_stretch
from sensorium.nn.standard import LayerNorm
from sensorium.nn.swin import PatchMerging, SwinLayer

Grid = Float[jax.Array, "B h w D"]
WINDOWS = 3
"""Windows of a long sound, beside the whole of it."""


class PublishedHTSAT(nnx.Module):
    """Log-mel spectrograms f32[B C T F] in decibels, as `modalities.spectrogram` makes them -> Encoding.

    `side`: of the square that a spectrogram of F = `bins` is folded to: `side // bins` pieces of its time lie one above
    another, and T up to side² // bins is stretched to that. `patch` and `stride`: [down, across] of the patches. `width`: of
    the first stage; each other one has twice that of the one before, on a grid of half the side. `depths` and `heads`: for each.
    `layers`: "window", "ratio" (of the perceptron's width to the layer's), and what else `SwinLayer` takes.

    C is 1; `fused`: it is 4, the whole of a sound and three windows of it, of which `mask` bool[B C] says whether they are
    there: where they are, patches of them are mixed into those of the whole (Wu et al. 2023, section 3.3). `squeeze`: by how
    much `Fusion` narrows. The tokens are the bands of the last grid, each with all of its times; `pooled` is their mean.
    """

    def __init__(
        self,
        side: int,
        bins: int,
        patch: Sequence[int],
        stride: Sequence[int],
        width: int,
        depths: Sequence[int],
        heads: Sequence[int],
        layers: dict[str, Any],
        fused: bool = False,
        squeeze: int = 4,
        patch_norm: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        self.side, self.bins, self.fused, self.pieces = side, bins, fused, side // bins
        self.grid = (side // stride[0], side // stride[1])
        self._check_sizes(layers["window"], len(depths), heads)
        self.norm_bins = StoredNorm(bins)
        edges = [((p - s) // 2, (p - s) // 2) for p, s in zip(patch, stride, strict=True)]
        three = (patch[0], 3 * patch[1]), (stride[0], 3 * stride[1])
        self.patches = nnx.Conv(1, width, tuple(patch), tuple(stride), padding=edges, rngs=rngs)
        self.norm_patches = LayerNorm(width, 1e-5) if patch_norm else None
        self.patches_window = nnx.Conv(1, width, *three, padding=edges, rngs=rngs) if fused else None
        self.fusion = Fusion(width, width // squeeze, rngs=rngs) if fused else None
        widths = [width * 2**i for i in range(len(depths))]
        self.stages = nnx.List(
            Stage(w, n, h, layers, merges=i + 1 < len(depths), rngs=rngs)
            for i, (w, n, h) in enumerate(zip(widths, depths, heads, strict=True))
        )
        self.norm = LayerNorm(widths[-1], 1e-5)
        self.pooled_width = widths[-1]

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        layers = {"window": 8, "ratio": 4.0, "activation": "gelu", "eps": 1e-5, "qkv_bias": True}
        return {
            **{"side": 4 * field.bins, "bins": field.bins, "patch": [4, 4], "stride": [4, 4], "width": 48, "layers": layers},
            **{"depths": [2, 2, 2, 2], "heads": [2, 4, 8, 16], "fused": field.fused},
        }

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedHTSAT", jax.Array]:
        level = 20 * jax.random.normal(rngs.data(), (3, 1, 1, 4))
        layers = {"window": 2, "ratio": 1.5}
        encoder = cls(8, 4, (2, 2), (2, 2), 4, (1, 1), (2, 2), layers, fused=True, rngs=rngs)
        return encoder, level + 4 * jax.random.normal(rngs.data(), (3, 1 + WINDOWS, 13, 4))

    def __call__(self, x: Float[jax.Array, "B C T F"], mask: Bool[jax.Array, "B C"] | None = None) -> Encoding:
        last = self.norm(self._run(x, mask)[-1])
        b, h, w, d = last.shape
        tokens = last.reshape(b, self.pieces, h // self.pieces, w, d).transpose(0, 2, 1, 3, 4).reshape(b, h * w, d)
        pooled = jnp.mean(tokens.astype(jnp.float32), axis=1).astype(tokens.dtype)
        return Encoding(tokens, jnp.ones(tokens.shape[:2], bool), pooled)

    def states(self, x: Float[jax.Array, "B C T F"], mask: Bool[jax.Array, "B C"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each, merging too: f32[B L D], the grid row by row."""
        return [grid.reshape(len(grid), -1, grid.shape[-1]) for grid in self._run(x, mask)]

    def folded(self, x: Float[jax.Array, "B C T F"]) -> Float[jax.Array, "B C S S"]:
        """Spectrograms as squares: pieces of their time one above another, each with its low bands on top."""
        b, c, t, f = x.shape
        y = self.norm_bins(x).reshape(b * c, t, f)
        whole = self.side * self.pieces
        y = y if t == whole else cubic_stretch(y, whole)
        return y.reshape(b, c, self.pieces, self.side, f).swapaxes(3, 4).reshape(b, c, self.side, self.side)

    def _run(self, x: Float[jax.Array, "B C T F"], mask: Bool[jax.Array, "B C"] | None) -> list[jax.Array]:
        self._check(x.shape[1:])
        y = self._embedded(self.folded(x.astype(jnp.float32)), mask)
        out = [y if self.norm_patches is None else self.norm_patches(y)]
        for stage in self.stages:
            out += stage.states(out[-1])
        return out

    def _embedded(self, x: Float[jax.Array, "B C S S"], mask: Bool[jax.Array, "B C"] | None) -> Grid:
        x = x.astype(self.patches.kernel.dtype)[..., None]
        whole = self.patches(x[:, 0])
        if self.fusion is None or self.patches_window is None:
            return whole
        (b, h, w, d), windows = whole.shape, x[:, 1:].reshape(-1, self.side, self.side, 1)
        parts = self.patches_window(windows).reshape(b, WINDOWS, h, -1, d).transpose(0, 2, 1, 3, 4).reshape(b, h, -1, d)
        parts = jnp.pad(parts[:, :, :w], ((0, 0), (0, 0), (0, max(0, w - parts.shape[2])), (0, 0)))
        fused = self.fusion(whole, parts)
        return fused if mask is None else jnp.where(jnp.any(mask[:, 1:], axis=1)[:, None, None, None], fused, whole)

    def _check_sizes(self, window: int, stages: int, heads: Sequence[int]) -> None:
        last = [side / 2 ** (stages - 1) for side in self.grid]
        if self.side % self.bins or any(side % 1 for side in last) or last[0] % self.pieces:
            told = f"side={self.side}, bins={self.bins}, a grid of {self.grid[0]}×{self.grid[1]} and {stages} stages"
            raise ValueError(
                f"{told}: bins have to divide the side, and the grid has to be halved {stages - 1} times without a remainder, "
                "its rows being divided by side // bins then"
            )
        if min(last) < window:
            raise ValueError(f"the last grid is {last[0]:g}×{last[1]:g}, and windows {window}×{window}: expected no larger ones")

    def _check(self, shape: tuple[int, ...]) -> None:
        built, most = (1 + WINDOWS if self.fused else 1), self.side * self.pieces
        if len(shape) != 3 or (shape[0], shape[2]) != (built, self.bins) or not 1 <= shape[1] <= most:
            raise ValueError(
                f"sounds of {'×'.join(map(str, shape))}, where this encoder is built for {built} spectrograms × up to {most} "
                f"frames × {self.bins} bands"
            )


class Stage(nnx.Module):
    """Layers of one width, every second one with its windows shifted by half of one, and the merging after them."""

    def __init__(self, width: int, depth: int, heads: int, layers: dict[str, Any], merges: bool, *, rngs: nnx.Rngs):
        said = dict(layers)
        window, hidden = said.pop("window"), int(said.pop("ratio") * width)
        self.blocks = nnx.List(
            SwinLayer(width, heads, hidden, window, window // 2 if i % 2 else 0, **said, rngs=rngs) for i in range(depth)
        )
        self.merging = PatchMerging(width, rngs=rngs) if merges else None

    def states(self, x: Grid) -> list[jax.Array]:
        """What comes out of each layer, and of the merging."""
        out = []
        for block in self.blocks:
            x = block(x)
            out.append(x)
        return out if self.merging is None else [*out, self.merging(x)]


class Fusion(nnx.Module):
    """Attentional feature fusion (Dai et al. 2021, equations 2 and 4): 2·(m·a + (1 − m)·b), where m in (0, 1) is computed from
    a + b at each place and from its mean over all places. Twice, as CLAP was trained with it."""

    def __init__(self, width: int, narrow: int, *, rngs: nnx.Rngs):
        self.local, self.overall = Narrowed(width, narrow, rngs=rngs), Narrowed(width, narrow, rngs=rngs)

    def __call__(self, a: Grid, b: Grid) -> Grid:
        both = a + b
        share = jax.nn.sigmoid(self.local(both) + self.overall(jnp.mean(both, axis=(1, 2), keepdims=True)))
        return 2 * a * share + 2 * b * (1 - share)


class Narrowed(nnx.Module):
    """To few numbers a place and back, each time normed with stored statistics."""

    def __init__(self, width: int, narrow: int, *, rngs: nnx.Rngs):
        self.down, self.norm_down = nnx.Linear(width, narrow, rngs=rngs), StoredNorm(narrow)
        self.up, self.norm_up = nnx.Linear(narrow, width, rngs=rngs), StoredNorm(width)

    def __call__(self, x: Grid) -> Grid:
        return self.norm_up(self.up(jax.nn.relu(self.norm_down(self.down(x)))))
