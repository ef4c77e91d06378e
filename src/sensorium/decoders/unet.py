"""A U-Net over noisy grids: down to few cells and up again, each level handing its details across (Ronneberger et al. 2015)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.decoders.dit import Heard
from sensorium.decoders.patches import joined
from sensorium.decoders.places import Places
from sensorium.decoders.sketch import Sketch
from sensorium.decoders.slots import Slots, sketch_of
from sensorium.decoders.unet_parts import GroupNorm, Level, Look, Residual, convolution, doubled
from sensorium.diffusion.samplers import PART
from sensorium.nn.sizes import whole

TICKS, LONGEST = 1000.0, 10_000.0
"""The time is told as a number of so many steps, as published networks have it; the ratio of its longest wave to 1 radian."""


class UNet(nnx.Module):
    """Noisy grids f32[B *shape C] of one, two or three axes, times f32[B] in [0, 1] and what they are about -> f32[B *shape C].

    Laid out as diffusers' `UNet2DConditionModel` (Ho et al. 2020; Rombach et al. 2022), and equal to it in two dimensions with
    `scaled` and `reads` False: a level for each of `widths`, `layers` residual blocks in each on the way down and one more on the
    way up. After each block of a level with `heads` (0: it has none) the cells look at each other and (`looks`) at the tokens of
    the condition; those of the middle always do, with `middle` heads (as many as the last level, or 1). The pooled condition
    joins the time, which modulates every block. As in `DiT`, every cell `reads` what belongs there out of the pooled vector with
    a small matrix of its own, or has its part of a `sketch`. `groups` are those of the norms.
    """

    at_once: ClassVar[int | None] = PART

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        vector: int,
        tokens: int,
        widths: Sequence[int] = (64, 128, 256),
        layers: int = 2,
        heads: Sequence[int] = (0, 4, 8),
        middle: int | None = None,
        groups: int = 32,
        scaled: bool = True,
        looks: bool = True,
        reads: bool = True,
        sketch: Mapping[str, Any] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.shape, self.channels, self.layers = tuple(shape), channels, whole("layers", layers)
        axes, width, how = _checked(self.shape, widths, heads), widths[0], 4 * widths[0]
        self.time_first, self.time_second = nnx.Linear(width, how, rngs=rngs), nnx.Linear(how, how, rngs=rngs)
        self.gist = nnx.Linear(vector, how, rngs=rngs)
        self.enter = convolution(channels, width, axes, rngs=rngs)
        self.sketch = None if sketch is None else sketch_of(sketch, self.shape, channels, vector, tokens, rngs)
        self.places = Places(vector, math.prod(self.shape), width, rngs=rngs) if reads and self.sketch is None else None
        self.spread = None if self.sketch is None else _spread(self.sketch, width, rngs)

        def block(before: int, width: int) -> Residual:
            return Residual(before, width, how, axes, groups, scaled, rngs=rngs)

        def look(width: int, heads: int) -> Look:
            return Look(width, heads, tokens if looks else None, groups, rngs=rngs)

        kept, down = [width], []
        for i, (size, many) in enumerate(zip(widths, heads, strict=True)):
            blocks = [block(kept[-1] if j == 0 else size, size) for j in range(layers)]
            last = i == len(widths) - 1
            resize = None if last else convolution(size, size, axes, 2, rngs=rngs)
            down.append(Level(blocks, [look(size, many) for _ in blocks] if many else [], resize))
            kept += [size] * (layers if last else layers + 1)
        size = widths[-1]
        between = look(size, middle or heads[-1] or 1)
        self.middle = Level([block(size, size), block(size, size)], [between], None)
        up, now = [], size
        for i, (size, many) in reversed(list(enumerate(zip(widths, heads, strict=True)))):
            blocks = [block((now if j == 0 else size) + kept.pop(), size) for j in range(layers + 1)]
            resize = None if i == 0 else convolution(size, size, axes, rngs=rngs)
            up.append(Level(blocks, [look(size, many) for _ in blocks] if many else [], resize))
            now = size
        self.down, self.up = nnx.List(down), nnx.List(up)
        self.norm = GroupNorm(width, groups)
        self.leave = convolution(width, channels, axes, quiet=True, rngs=rngs)

    def hear(self, about: Encoding) -> Heard:
        """What does not depend on the noisy grid or on the time."""
        gist = self.gist(about.pooled)
        if self.sketch is not None and self.spread is not None:
            found = self.sketch(about)
            places = joined(self.spread(found.cells), self.sketch.cells, self.sketch.patch)
            return Heard(about, gist, places.reshape(len(gist), -1, places.shape[-1]), found.whole)
        if self.places is not None:
            return Heard(about, gist, self.places(about.pooled), None)
        return Heard(about, gist, jnp.zeros((len(gist), 1, self.enter.out_features)), None)

    def __call__(
        self, x: Float[jax.Array, "B *shape C"], t: Float[jax.Array, " B"], heard: Heard
    ) -> Float[jax.Array, "B *shape C"]:
        if x.shape[1:] != (*self.shape, self.channels):
            raise ValueError(f"grids of {x.shape[1:]}, where this network was built for {(*self.shape, self.channels)}")
        about = heard.about
        how = jax.nn.silu(self.time_second(jax.nn.silu(self.time_first(self._waves(t)))) + heard.gist)
        y = self.enter(x)
        y = (y.reshape(len(y), -1, y.shape[-1]) + heard.places).reshape(y.shape)
        kept = [y]
        for level in self.down:
            for i in range(self.layers):
                y = level.block(i, y, how, about)
                kept.append(y)
            if level.resize is not None:
                y = level.resize(y)
                kept.append(y)
        y = self.middle.looks[0](self.middle.blocks[0](y, how), about)
        y = self.middle.blocks[1](y, how)
        for level in self.up:
            for i in range(self.layers + 1):
                y = level.block(i, jnp.concatenate([y, kept.pop()], axis=-1), how, about)
            if level.resize is not None:
                y = level.resize(doubled(y, kept[-1].shape[1:-1]))
        return self.leave(jax.nn.silu(self.norm(y)))

    def _waves(self, t: Float[jax.Array, " B"]) -> Float[jax.Array, "B D"]:
        """The time as cosines and sines of many rates (Ho et al. 2020, appendix B)."""
        half = self.time_first.in_features // 2
        angles = TICKS * t[:, None] * jnp.exp(-math.log(LONGEST) / half * jnp.arange(half, dtype=jnp.float32))[None]
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=1)


def _spread(sketch: Sketch | Slots, width: int, rngs: nnx.Rngs) -> nnx.Linear:
    """What each cell of a sketch tells each cell of its patch."""
    return nnx.Linear(sketch.token, math.prod(sketch.patch) * width, use_bias=False, rngs=rngs)


def _checked(shape: tuple[int, ...], widths: Sequence[int], heads: Sequence[int]) -> int:
    """How many axes there are."""
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        raise ValueError(f"grids of {shape}: expected one, two or three sides of 1 or more")
    if not widths or len(widths) != len(heads) or min(heads) < 0:
        raise ValueError(f"widths={tuple(widths)}, heads={tuple(heads)}: expected as many in both, one or more (heads may be 0)")
    if widths[0] % 2:
        raise ValueError(f"widths={tuple(widths)}: expected the first one to be even, half of it for sines")
    return len(shape)
