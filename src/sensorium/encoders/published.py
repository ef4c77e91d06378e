"""Vision and text transformers in the forms of published checkpoints: CLIP, SigLIP, ViT, DINOv2, BERT. Equal parameters, equal
numbers; `sensorium.pretrained` fills them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Num

from sensorium.core.encoding import Encoding, Grid
from sensorium.core.table import Table
from sensorium.nn.cubic import cubic_resize, smooth_resize
from sensorium.nn.pooling import one_by_one
from sensorium.nn.stack import Stack
from sensorium.nn.standard import LayerNorm, QuestionPool, StandardLayer


@dataclass(frozen=True)
class PictureForm:
    """How a published vision transformer differs from the next one.

    `first`: a learned token stands before the patches. `norm_before` the layers; `norm_tokens`: the last norm is of all
    tokens, not of the pooled one alone. `pooling`: "first" (that token), "dense" (the same through tanh of a linear layer),
    "question" (see `QuestionPool`).
    """

    first: bool = True
    patch_bias: bool = True
    norm_before: bool = False
    norm_tokens: bool = True
    pooling: str = "first"


PICTURE_FORMS = Table(
    "form of a vision transformer",
    {
        "clip": PictureForm(patch_bias=False, norm_before=True, norm_tokens=False),
        "siglip": PictureForm(first=False, pooling="question"),
        "vit": PictureForm(),
        "vit_pooled": PictureForm(pooling="dense"),
    },
)


RESAMPLINGS = Table("resampling of positions", {"sharp": cubic_resize, "smooth": smooth_resize})
"""As DINOv2 does it, and as its version with registers does."""


class PublishedViT(Stack):
    """Pictures u8[B H W 3], or pixels f32[B H W 3] as the checkpoint's own preprocessing makes them -> Encoding.

    The tokens are the last hidden state: the learned token first, where the form has one, then `registers` (Darcet et al.
    2024), then the patches row by row. `size`: height and width that positions are kept for; with `resample`, one of
    `RESAMPLINGS`, pictures of other sizes are read too, and the grid of positions is resampled. `layers`: arguments of
    `StandardLayer`, and "depth". `pixels`: "scale", "mean" and "std" that u8 is normalised with: (u8·scale − mean) / std.
    `labels`: names of classes that there are `logits` for.
    """

    def __init__(
        self,
        size: Sequence[int],
        patch: int,
        layers: Mapping[str, Any],
        pixels: Mapping[str, Any],
        form: str = "vit",
        registers: int = 0,
        resample: str | None = None,
        labels: Sequence[str] = (),
        *,
        rngs: nnx.Rngs,
    ):
        said = dict(layers)
        depth, width, eps = said.pop("depth"), said["width"], said.get("eps", 1e-5)
        self.form, self.size, self.patch, self.resample = PICTURE_FORMS[form], tuple(size), patch, resample
        self.labels = tuple(labels)
        self.scale, self.mean, self.std = pixels["scale"], tuple(pixels["mean"]), tuple(pixels["std"])
        self.pooled_width = width
        self.patches = nnx.Linear(patch * patch * 3, width, use_bias=self.form.patch_bias, rngs=rngs)
        draw = lambda shape: nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))  # noqa: E731
        self.first = draw((width,)) if self.form.first else None
        self.registers = draw((registers, width)) if registers else None
        self.positions = draw((self._places(*self.size), width))
        self.norm_before = LayerNorm(width, eps) if self.form.norm_before else None
        self.layers = nnx.List([StandardLayer(**said, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, eps)
        self.dense = nnx.Linear(width, width, rngs=rngs) if self.form.pooling == "dense" else None
        head = (width, said["heads"], said["hidden"], said.get("activation", "gelu"), eps)
        self.question = QuestionPool(*head, rngs=rngs) if self.form.pooling == "question" else None

        self.classes = nnx.Linear(width, len(labels), rngs=rngs) if labels else None

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        layers = {"width": 192, "depth": 6, "heads": 3, "hidden": 768, "activation": "gelu"}
        pixels = {"scale": 1 / 127.5, "mean": [1.0] * 3, "std": [1.0] * 3}
        return {"size": [field.size, field.size], "patch": 8, "layers": layers, "pixels": pixels}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedViT", jax.Array]:
        pictures = jax.random.randint(rngs.data(), (3, 16, 16, 3), 0, 256).astype(jnp.uint8)
        layers = {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "activation": "gelu"}
        pixels = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
        return cls((16, 16), 8, layers, pixels, "clip", rngs=rngs), pictures

    def __call__(self, x: Num[jax.Array, "B H W 3"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        tokens = self.through(self._start(x), None if mask is None else mask[:, None, None, :])
        tokens = self.norm(tokens) if self.form.norm_tokens else tokens
        kept = jnp.ones(tokens.shape[:2], bool) if mask is None else mask
        if self.question is not None:
            return Encoding(tokens, kept, self.question(tokens, kept))
        return Encoding(tokens, kept, self._first(tokens))

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return one_by_one(
            lambda one, kept: self._first(one) if self.question is None else self.question(one, kept), encoding.tokens
        )

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((shape[0] // self.patch, self.patch), (shape[1] // self.patch, self.patch))

    def watched(
        self, x: Num[jax.Array, "B H W 3"], shifts: Sequence[jax.Array] | None = None
    ) -> tuple[Float[jax.Array, "B D"], list[jax.Array]]:
        """The pooled vectors of a call, and what it looked at: the weights of every layer f32[B heads L L], and after them those
        of the question f32[B heads 1 L] where the form has one. `shifts`: one for each of them, see `StandardLayer.watched`."""
        tokens, weights = self._start(x), []
        given = iter(shifts if shifts is not None else [None] * (len(self.layers) + 1))
        for layer in self.layers:
            tokens, looked = layer.watched(tokens, None, next(given))
            weights.append(looked)
        tokens = self.norm(tokens) if self.form.norm_tokens else tokens
        if self.question is None:
            return self._first(tokens), weights
        pooled, looked = self.question.watched(tokens, jnp.ones(tokens.shape[:2], bool), next(given))
        return pooled, [*weights, looked]

    def _first(self, tokens: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B D"]:
        pooled = tokens[:, 0] if self.form.norm_tokens else self.norm(tokens[:, 0])
        return pooled if self.dense is None else jnp.tanh(self.dense(pooled))

    def logits(self, pooled: Float[jax.Array, "B D"]) -> Float[jax.Array, "B labels"]:
        """What a softmax makes shares of the labels from. A `ValueError` where there are none."""
        if self.classes is None:
            raise ValueError("this encoder has no labels")
        return self.classes(pooled)

    def states(self, x: Num[jax.Array, "B H W 3"], mask: Bool[jax.Array, "B L"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each, before the last norm: f32[B L D]."""
        return self.each(self._start(x), None if mask is None else mask[:, None, None, :])

    def _start(self, x: Num[jax.Array, "B H W 3"]) -> Float[jax.Array, "B L D"]:
        tokens = self._embedded(self.normalised(x))
        return tokens if self.norm_before is None else self.norm_before(tokens)

    def normalised(self, x: Num[jax.Array, "B H W 3"]) -> Float[jax.Array, "B H W 3"]:
        """Pixels as the layers take them: u8 normalised, floats as they are."""
        if x.dtype != jnp.uint8:
            return x
        mean, std = (jnp.asarray(part, jnp.float32)[None, None, None] for part in (self.mean, self.std))
        return (x.astype(jnp.float32) * self.scale - mean) / std

    def _embedded(self, x: Float[jax.Array, "B H W 3"]) -> Float[jax.Array, "B L D"]:
        self._check(*x.shape[1:3])
        grid = _cut(x, self.patch)
        tokens = self.patches(grid.reshape(len(x), -1, grid.shape[-1]).astype(self.patches.kernel.dtype))
        positions = self._positions(x.shape[1] // self.patch, x.shape[2] // self.patch)
        if self.first is not None:
            first = jnp.broadcast_to(self.first[...], (len(x), 1, tokens.shape[2]))
            tokens = jnp.concatenate([first, tokens], axis=1)
        tokens = tokens + positions[None]
        if self.registers is not None:
            registers = jnp.broadcast_to(self.registers[...], (len(x), *self.registers.shape))
            tokens = jnp.concatenate([tokens[:, :1], registers, tokens[:, 1:]], axis=1)
        return tokens

    def _positions(self, rows: int, columns: int) -> Float[jax.Array, "L D"]:
        learned, grid = self.positions[...], tuple(side // self.patch for side in self.size)
        if grid == (rows, columns):
            return learned
        first = 1 if self.form.first else 0
        spread = RESAMPLINGS[self.resample or ""](learned[first:].reshape(*grid, learned.shape[1]), (rows, columns))
        return jnp.concatenate([learned[:first], spread.reshape(-1, learned.shape[1]).astype(learned.dtype)])

    def _places(self, height: int, width: int) -> int:
        return (height // self.patch) * (width // self.patch) + (1 if self.form.first else 0)

    def _check(self, height: int, width: int) -> None:
        if (height, width) != self.size and not (self.resample and min(height, width) >= self.patch):
            built = f"{self.size[0]}×{self.size[1]}"
            raise ValueError(f"pictures of {height}×{width}, where this encoder is built for {built}: resize them")


def _cut(x: Float[jax.Array, "B H W 3"], patch: int) -> Float[jax.Array, "B h w P"]:
    """Patches laid flat, row by row; what is left over at the far edges is left out, as a strided convolution does."""
    b, h, w, c = len(x), x.shape[1] // patch, x.shape[2] // patch, x.shape[3]
    x = x[:, : h * patch, : w * patch].reshape(b, h, patch, w, patch, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h, w, patch * patch * c)
