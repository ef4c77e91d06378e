"""Clips by a vision transformer over patches of space and time, as VideoMAE has it (Tong et al. 2022)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoding
from sensorium.core.table import Table
from sensorium.nn.pooling import masked_mean
from sensorium.nn.sizes import whole
from sensorium.nn.stack import Stack
from sensorium.nn.standard import LayerNorm, StandardLayer

HEAD_EPS = 1e-5
"""Of the norm of the mean, whatever that of the layers is: transformers leaves it at PyTorch's."""


@dataclass(frozen=True)
class VideoForm:
    """`norm_tokens`: the last norm is of every token, else there is none. `pooling`: "mean" of all tokens, "mean_norm" (the norm
    of that), or "first" (VideoMAE has no token of its own for the whole: a patch like the others)."""

    norm_tokens: bool
    pooling: str = "mean"


VIDEO_FORMS = Table(
    "form of a vision transformer of clips",
    {
        "plain": VideoForm(False),
        "normed": VideoForm(True),
        "labels_mean": VideoForm(False, "mean_norm"),
        "labels_first": VideoForm(True, "first"),
    },
)


class PublishedVideo(Stack):
    """Clips u8[B T H W 3], or pixels f32[B T H W 3] as the checkpoint's own preprocessing makes them -> Encoding.

    A token is a patch of `tube` frames, `patch` pixels high and wide; tokens stand frame by frame, row by row, with waves of
    their number added, which are computed, not learned. The tokens are the last hidden state. A mask is of frames: a token
    counts where one of its frames does. `form`: one of `VIDEO_FORMS`. `layers`, `pixels`, `labels`: as of `PublishedViT`.
    """

    def __init__(
        self,
        size: Sequence[int],
        frames: int,
        patch: int,
        tube: int,
        layers: Mapping[str, Any],
        pixels: Mapping[str, Any],
        form: str = "normed",
        labels: Sequence[str] = (),
        *,
        rngs: nnx.Rngs,
    ):
        said = dict(layers)
        depth, width, eps = said.pop("depth"), said["width"], said.get("eps", 1e-5)
        self.form, self.size = VIDEO_FORMS[form], tuple(size)
        self.frames, self.patch, self.tube = whole("frames", frames), patch, tube
        self.scale, self.mean, self.std = pixels["scale"], tuple(pixels["mean"]), tuple(pixels["std"])
        self.labels, self.pooled_width = tuple(labels), width
        self.patches = nnx.Linear(tube * patch * patch * 3, width, rngs=rngs)
        self.layers = nnx.List([StandardLayer(**said, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, eps) if self.form.norm_tokens else None
        self.norm_mean = LayerNorm(width, HEAD_EPS) if self.form.pooling == "mean_norm" else None
        self.classes = nnx.Linear(width, len(labels), rngs=rngs) if labels else None

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        size = field.size if isinstance(field.size, tuple) else (field.size, field.size)
        layers = {"width": 192, "depth": 6, "heads": 3, "hidden": 768, "activation": "gelu", "key_bias": False}
        pixels = {"scale": 1 / 127.5, "mean": [1.0] * 3, "std": [1.0] * 3}
        return {"size": list(size), "frames": field.frames, "patch": 16, "tube": 2, "layers": layers, "pixels": pixels}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedVideo", jax.Array]:
        clips = jax.random.randint(rngs.data(), (3, 4, 8, 8, 3), 0, 256).astype(jnp.uint8)
        layers = {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "activation": "gelu", "key_bias": False}
        pixels = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
        return cls((8, 8), 4, 4, 2, layers, pixels, "labels_mean", rngs=rngs), clips

    def __call__(self, x: Num[jax.Array, "B T H W 3"], mask: Bool[jax.Array, "B T"] | None = None) -> Encoding:
        tokens = self.through(*self._start(x, mask))
        tokens = tokens if self.norm is None else self.norm(tokens)
        kept = jnp.ones(tokens.shape[:2], bool) if mask is None else self._kept(mask)
        if self.form.pooling == "first":
            return Encoding(tokens, kept, tokens[:, 0])
        mean = masked_mean(tokens, kept)
        return Encoding(tokens, kept, mean if self.norm_mean is None else self.norm_mean(mean))

    def logits(self, pooled: Float[jax.Array, "B D"]) -> Float[jax.Array, "B labels"]:
        """What a softmax makes shares of the labels from. A `ValueError` where there are none."""
        if self.classes is None:
            raise ValueError("this encoder has no labels")
        return self.classes(pooled)

    def states(self, x: Num[jax.Array, "B T H W 3"], mask: Bool[jax.Array, "B T"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each, before the last norm: f32[B L D]."""
        return self.each(*self._start(x, mask))

    def normalised(self, x: Num[jax.Array, "B T H W 3"]) -> Float[jax.Array, "B T H W 3"]:
        """Pixels as the layers take them: u8 normalised, floats as they are."""
        if x.dtype != jnp.uint8:
            return x
        mean, std = (jnp.asarray(part, jnp.float32)[None, None, None, None] for part in (self.mean, self.std))
        return (x.astype(jnp.float32) * self.scale - mean) / std

    def _start(
        self, x: Num[jax.Array, "B T H W 3"], mask: Bool[jax.Array, "B T"] | None
    ) -> tuple[Float[jax.Array, "B L D"], Bool[jax.Array, "B 1 1 L"] | None]:
        """What goes into the first layer, and the tokens that may be looked at."""
        if x.shape[1:4] != (self.frames, *self.size):
            got, built = (f"{t} frames of {h}×{w}" for t, h, w in (x.shape[1:4], (self.frames, *self.size)))
            raise ValueError(f"clips of {got}, where this encoder is built for {built}")
        pixels = self.normalised(x)
        if mask is not None:
            pixels = jnp.where(mask[:, :, None, None, None], pixels, 0.0)
        tokens = self.patches(cut(pixels, self.tube, self.patch).astype(self.patches.kernel.dtype))
        tokens = tokens + jnp.asarray(waves(tokens.shape[1], tokens.shape[2]), tokens.dtype)[None]
        return tokens, None if mask is None else self._kept(mask)[:, None, None, :]

    def _kept(self, mask: Bool[jax.Array, "B T"]) -> Bool[jax.Array, "B L"]:
        tubes = self.frames // self.tube
        there = mask[:, : tubes * self.tube].reshape(len(mask), tubes, self.tube).any(axis=2)
        return jnp.repeat(there, (self.size[0] // self.patch) * (self.size[1] // self.patch), axis=1)


def cut(x: Float[jax.Array, "B T H W 3"], tube: int, patch: int) -> Float[jax.Array, "B L P"]:
    """Patches of space and time laid flat; what is left over at the far ends is left out, as a strided convolution does."""
    b, t, h, w, c = len(x), x.shape[1] // tube, x.shape[2] // patch, x.shape[3] // patch, x.shape[4]
    x = x[:, : t * tube, : h * patch, : w * patch].reshape(b, t, tube, h, patch, w, patch, c)
    return x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, t * h * w, tube * patch * patch * c)


@functools.cache
def waves(places: int, width: int) -> Float[np.ndarray, "places width"]:
    """Sine in even columns and cosine in odd ones (Vaswani et al. 2017, section 3.5), in float64 as the reference has it."""
    angles = np.arange(places)[:, None] / 10000 ** (2 * (np.arange(width) // 2) / width)
    return np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles)).astype(np.float32)
