"""R3D: the residual network of 3-D convolutions of Tran et al. 2018, as torchvision's r3d_18 has it."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoding
from sensorium.nn.pooling import masked_mean
from sensorium.nn.sizes import whole

KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)
"""Of the red, green and blue of Kinetics-400 in [0, 1]: what published weights expect to be taken out."""

Grid = Float[jax.Array, "B T H W C"]
Made = Float[jax.Array, "B t h w D"]  # of a convolution, which may halve


class Norm(nnx.BatchNorm):
    """Batch norm (Ioffe & Szegedy 2015) with stored statistics, which `train` updates and no gradient ever moves."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        super().__init__(width, use_running_average=True, momentum=0.9, epsilon=1e-5, use_fast_variance=False, rngs=rngs)

    def of(self, x: Grid, mask: Bool[jax.Array, "B T"], train: bool) -> Grid:
        """`x` normed, and 0 at masked frames; in training these do not count in the statistics."""
        there = mask[:, :, None, None, None]
        if train:
            return jnp.where(there, self(x, use_running_average=False, mask=there), 0.0)
        mean, var = jax.lax.stop_gradient((self.mean[...], self.var[...]))
        gain = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)  # pyright: ignore[reportOptionalSubscript]
        normed = (x - mean[None, None, None, None]) * gain[None, None, None, None]
        return jnp.where(there, normed + self.bias[...][None, None, None, None], 0.0)  # pyright: ignore[reportOptionalSubscript]


class BasicBlock(nnx.Module):
    """Two 3×3×3 convolutions and a shortcut, which a 1×1×1 convolution fits where the shape changes (He et al. 2016, eq. 2)."""

    def __init__(self, before: int, width: int, stride: int, *, rngs: nnx.Rngs):
        self.stride = stride
        self.conv1 = nnx.List([_conv(before, width, (3, 3, 3), (stride,) * 3, rngs), Norm(width, rngs=rngs)])
        self.conv2 = nnx.List([_conv(width, width, (3, 3, 3), (1, 1, 1), rngs), Norm(width, rngs=rngs)])
        changes = stride != 1 or before != width
        shortcut = [_conv(before, width, (1, 1, 1), (stride,) * 3, rngs), Norm(width, rngs=rngs)] if changes else []
        self.downsample = nnx.List(shortcut)

    def __call__(self, x: Grid, mask: Bool[jax.Array, "B T"], train: bool) -> tuple[Made, Bool[jax.Array, "B t"]]:
        kept = mask[:, :: self.stride]
        inner = jax.nn.relu(_normed(self.conv1, x, kept, train))
        inner = _normed(self.conv2, inner, kept, train)
        shortcut = _normed(self.downsample, x, kept, train) if self.downsample else x
        return jax.nn.relu(inner + shortcut), kept


class ResNet3D(nnx.Module):
    """Clips u8[B T H W 3] (or f32 in [-1, 1]) and a mask of their frames -> Encoding; as built by default, r3d_18 without `fc`.

    A stem of 3×7×7 (stride 1×2×2), then a stage for each of `widths`, all but the first halving time, height and width
    (Tran et al. 2018, table 1). Tokens are the cells of the last grid; `pooled` is their mean. Frames after the last unmasked one
    change nothing: they are zero before every convolution, as the padding there is, so a clip filled up gives what the short
    one gives. Parameters bear torchvision's names (`layer1.0.conv1.0`). Any height and width; pictures of 112 are usual.

    `pixels`: "scale", "mean" and "std" of a published checkpoint, for u8: (u8·scale − mean) / std; f32 is then taken as it is.
    `labels`: names of classes that there are `logits` for.
    """

    def __init__(
        self,
        frames: int = 16,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: int = 2,
        pixels: Mapping[str, Any] | None = None,
        labels: Sequence[str] = (),
        *,
        rngs: nnx.Rngs,
    ):
        if len(widths) != 4:
            raise ValueError(f"widths {tuple(widths)}: expected four, one for each stage")
        self.frames, self.labels = whole("frames", frames), tuple(labels)
        self.pixels = None if pixels is None else (pixels["scale"], tuple(pixels["mean"]), tuple(pixels["std"]))
        self.stem = nnx.List([_conv(3, widths[0], (3, 7, 7), (1, 2, 2), rngs), Norm(widths[0], rngs=rngs)])
        stages = [_stage(widths[0], widths[0], 1, blocks, rngs)]
        stages += [_stage(a, b, 2, blocks, rngs) for a, b in pairwise(widths)]
        self.layer1, self.layer2, self.layer3, self.layer4 = map(nnx.List, stages)
        self.fc = nnx.Linear(widths[-1], len(labels), rngs=rngs) if labels else None
        self.pooled_width = widths[-1]

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"frames": field.frames}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["ResNet3D", jax.Array]:
        encoder = cls(4, widths=(4, 4, 6, 8), blocks=1, rngs=rngs)
        return encoder, jax.random.uniform(rngs.data(), (3, 4, 8, 8, 3), minval=-1.0)

    def __call__(
        self, x: Num[jax.Array, "B T H W C"], mask: Bool[jax.Array, "B T"] | None = None, *, train: bool = False
    ) -> Encoding:
        """`train=True` norms with the batch's own statistics and moves the stored ones a tenth of the way towards them."""
        grid, kept = self._run(x, mask, train)[-1]
        tokens = grid.reshape(len(grid), math.prod(grid.shape[1:4]), grid.shape[4])
        kept = jnp.repeat(kept, grid.shape[2] * grid.shape[3], axis=1)
        return Encoding(tokens, kept, masked_mean(tokens, kept))

    def logits(self, pooled: Float[jax.Array, "B D"]) -> Float[jax.Array, "B labels"]:
        """What a softmax makes shares of the labels from. A `ValueError` where there are none."""
        if self.fc is None:
            raise ValueError("this encoder has no labels")
        return self.fc(pooled)

    def states(self, x: Num[jax.Array, "B T H W C"], mask: Bool[jax.Array, "B T"] | None = None) -> list[jax.Array]:
        """What comes out of the stem, and of each block: f32[B T H W C]."""
        return [grid for grid, _ in self._run(x, mask, False)]

    def normalised(self, x: Num[jax.Array, "B T H W C"]) -> Grid:
        """Pixels as the stem takes them."""
        if self.pixels is None:
            return standardised(x)
        if x.dtype != jnp.uint8:
            return x
        scale, *rest = self.pixels
        mean, std = (jnp.asarray(part, jnp.float32)[None, None, None, None] for part in rest)
        return (x.astype(jnp.float32) * scale - mean) / std

    def _run(
        self, x: Num[jax.Array, "B T H W C"], mask: Bool[jax.Array, "B T"] | None, train: bool
    ) -> list[tuple[Made, Bool[jax.Array, "B t"]]]:
        if x.shape[1] != self.frames:
            raise ValueError(f"a clip of {x.shape[1]} frames, where this encoder was built for {self.frames}")
        mask = jnp.ones(x.shape[:2], bool) if mask is None else mask
        conv = self.stem[0]
        assert isinstance(conv, nnx.Conv)
        grid = jnp.where(mask[:, :, None, None, None], self.normalised(x), 0.0).astype(conv.kernel.dtype)
        out = [(jax.nn.relu(_normed(self.stem, grid, mask, train)), mask)]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                out.append(block(*out[-1], train))
        return out


def standardised(x: Num[jax.Array, "B T H W C"]) -> Grid:
    """Pictures u8 or f32 in [-1, 1] -> with the mean and the standard deviation of Kinetics taken out."""
    share = x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else (x + 1.0) / 2.0
    mean, std = (jnp.asarray(part, jnp.float32)[None, None, None, None] for part in (KINETICS_MEAN, KINETICS_STD))
    return (share - mean) / std


def _stage(before: int, width: int, stride: int, blocks: int, rngs: nnx.Rngs) -> list[BasicBlock]:
    first = BasicBlock(before, width, stride, rngs=rngs)
    return [first, *(BasicBlock(width, width, 1, rngs=rngs) for _ in range(blocks - 1))]


def _conv(before: int, width: int, kernel: tuple[int, ...], strides: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Conv:
    """A convolution without bias whose padding is half its kernel, as PyTorch writes it (not XLA's "SAME")."""
    return nnx.Conv(
        before,
        width,
        kernel,
        strides=strides,
        padding=[(k // 2, k // 2) for k in kernel],
        use_bias=False,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        rngs=rngs,
    )


def _normed(pair: Sequence[Any], x: Grid, mask: Bool[jax.Array, "B t"], train: bool) -> Made:
    conv, norm = pair
    return norm.of(conv(x), mask, train)
