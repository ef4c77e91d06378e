"""SigLIP 2's vision transformer for pictures in their own proportions (Tschannen et al. 2025: NaFlex)."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int, Num

from sensorium.core.encoding import Encoding
from sensorium.nn.linear_resize import linear_places
from sensorium.nn.stack import Stack
from sensorium.nn.standard import LayerNorm, QuestionPool, StandardLayer


class PublishedPatches(Stack):
    """Patches u8[B L P], or f32[B L P] normalised, their mask and the shape of their grid -> Encoding. Tokens are zero where
    masked.

    How a picture's patches lie cannot be told from the mask, and positions need it: `Space` gives the part `<field>/shape`,
    i32[B 2], to encoders that have `on_grid` (see `core.encoding.Gridded`), which is this one's call with a shape. Without it,
    the patches are those of a square picture of `places`, the (square) number of positions that are learned.
    `layers`: arguments of `StandardLayer`, and "depth". `pixels`: "scale", "mean" and "std" that u8 is normalised with.
    """

    def __init__(self, places: int, patch: int, layers: Mapping[str, Any], pixels: Mapping[str, Any], *, rngs: nnx.Rngs):
        said = dict(layers)
        depth, width, eps = said.pop("depth"), said["width"], said.get("eps", 1e-6)
        self.side = math.isqrt(places)
        if self.side**2 != places:
            raise ValueError(f"places={places}: expected a square number, as positions are learned for a square grid")
        self.scale, self.mean, self.std = pixels["scale"], tuple(pixels["mean"]), tuple(pixels["std"])
        self.pooled_width = width
        self.patches = nnx.Linear(patch * patch * 3, width, rngs=rngs)
        self.positions = nnx.Param(0.02 * jax.random.normal(rngs.params(), (places, width)))
        self.layers = nnx.List([StandardLayer(**said, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, eps)
        self.question = QuestionPool(width, said["heads"], said["hidden"], said.get("activation", "gelu"), eps, rngs=rngs)

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        layers = {"width": 192, "depth": 6, "heads": 3, "hidden": 768, "activation": "gelu"}
        pixels = {"scale": 1 / 127.5, "mean": [1.0] * 3, "std": [1.0] * 3}
        return {"places": math.isqrt(field.most) ** 2, "patch": field.patch, "layers": layers, "pixels": pixels}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedPatches", jax.Array]:
        patches = jax.random.randint(rngs.data(), (3, 4, 12), 0, 256).astype(jnp.uint8)
        layers = {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "activation": "gelu"}
        return cls(4, 2, layers, {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}, rngs=rngs), patches

    def __call__(self, x: Num[jax.Array, "B L P"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        return self.on_grid(x, mask, self._square(x))

    def on_grid(self, x: Num[jax.Array, "B L P"], mask: Bool[jax.Array, "B L"] | None, shape: Int[jax.Array, "B 2"]) -> Encoding:
        kept = jnp.ones(x.shape[:2], bool) if mask is None else mask
        tokens = self.norm(self.through(self._start(x, shape), kept[:, None, None, :]))
        tokens = jnp.where(kept[:, :, None], tokens, 0.0)
        return Encoding(tokens, kept, self.question(tokens, kept))

    def states(
        self, x: Num[jax.Array, "B L P"], mask: Bool[jax.Array, "B L"] | None = None, shape: Int[jax.Array, "B 2"] | None = None
    ) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each, before the last norm: f32[B L D]."""
        seen = None if mask is None else mask[:, None, None, :]
        return self.each(self._start(x, self._square(x) if shape is None else shape), seen)

    def normalised(self, x: Num[jax.Array, "B L P"]) -> Float[jax.Array, "B L P"]:
        """Pixels as the layers take them: u8 normalised, floats as they are."""
        if x.dtype != jnp.uint8:
            return x
        mean, std = (jnp.tile(jnp.asarray(part, jnp.float32), x.shape[2] // 3)[None, None] for part in (self.mean, self.std))
        return (x.astype(jnp.float32) * self.scale - mean) / std

    def _start(self, x: Num[jax.Array, "B L P"], shape: Int[jax.Array, "B 2"]) -> Float[jax.Array, "B L D"]:
        tokens = self.patches(self.normalised(x).astype(self.patches.kernel.dtype))
        learned = self.positions[...].reshape(self.side, self.side, -1)
        return tokens + linear_places(learned, shape, x.shape[1]).astype(tokens.dtype)

    def _square(self, x: Num[jax.Array, "B L P"]) -> Int[jax.Array, "B 2"]:
        if x.shape[1] != self.side**2:
            raise ValueError(
                f"{x.shape[1]} patches without their shape, where this encoder is built for a square of {self.side**2}: give the "
                "part 'shape' too"
            )
        return jnp.full((len(x), 2), self.side, jnp.int32)
