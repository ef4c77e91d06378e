"""A transformer over noisy patches: of a sound, a picture, a clip. What it says is as large as what it is given (DiT)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.decoders.patches import cells, cut, joined
from sensorium.decoders.places import Places
from sensorium.decoders.slots import sketch_of
from sensorium.nn.attention import CrossAttention, geglu, mixed_by
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import check_heads

WAVES, FASTEST = 32, 100.0
"""Sines and as many cosines that tell the time, and the highest of their rates."""


class Heard(NamedTuple):
    """What a network makes of what it is told, once for all times: `places` is added to the patches, `sketch` is what is
    expected before any noise is seen, where the network has a sketch."""

    about: Encoding
    gist: Float[jax.Array, "B D"]
    places: Float[jax.Array, "B L D"]
    sketch: Float[jax.Array, "B *shape C"] | None


class DiT(nnx.Module):
    """Noisy grids f32[B *shape C] of one, two or three axes, times f32[B] in [0, 1] and what they are about -> f32[B *shape C].

    Peebles & Xie (2023): patches as tokens, whose layers are scaled and shifted by time and condition. Every place reads the
    pooled vector of the condition with a small matrix of its own before the first layer, so that what belongs where is learned
    at once. `looks`: the layers also look at the tokens of the condition (of width `tokens`). `sketch`: the arguments of a
    `Sketch`, or of `Slots` where they say how many `things`: it looks at them instead, once for all times, and of its cells the
    patches get their part; its own patch is a multiple of `patch`. `apart`: the sketch, and whatever makes the condition, learn
    from the error of the sketch alone, and the rest takes what they find as it is: noise teaches them little and unsettles them.
    Whatever has to be 0 so that an untrained network changes nothing is 0 at the start.
    """

    at_once: ClassVar[int | None] = None

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        patch: Sequence[int],
        vector: int,
        tokens: int,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        looks: bool = True,
        sketch: Mapping[str, Any] | None = None,
        apart: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        self.shape, self.patch, self.channels, self.apart = tuple(shape), tuple(patch), channels, apart
        if apart and sketch is None:
            raise ValueError("apart=True: expected a sketch, from whose error the condition could learn")
        self.cells = cells(self.shape, self.patch)
        places, inside = math.prod(self.cells), math.prod(self.patch) * channels
        initial = nnx.initializers.normal(1.0)
        self.enter = nnx.Linear(inside, width, rngs=rngs)
        self.place = nnx.Param(0.5 * initial(rngs.params(), (places, width)))
        self.gist = nnx.Linear(vector, width, rngs=rngs)
        self.time = nnx.Linear(2 * WAVES, width, rngs=rngs)
        self.sketch = None if sketch is None else sketch_of(sketch, self.shape, channels, vector, tokens, rngs)
        self.reads = Places(vector, places, width, rngs=rngs) if self.sketch is None else None
        if self.sketch is not None:
            self.part = cells(self.sketch.patch, self.patch)
            self.spread = nnx.Linear(self.sketch.token, math.prod(self.part) * width, use_bias=False, rngs=rngs)
        seen = tokens if looks else None
        self.layers = nnx.List([DiTBlock(width, heads, places, seen, rngs=rngs) for _ in range(depth)])
        self.leave = nnx.Linear(width, inside, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def hear(self, about: Encoding) -> Heard:
        """What does not depend on the noisy grid or on the time."""
        if self.reads is not None:
            return Heard(about, self.gist(about.pooled), self.reads(about.pooled), None)
        assert self.sketch is not None
        found = self.sketch(about)
        about, tokens = jax.lax.stop_gradient((about, found.cells)) if self.apart else (about, found.cells)
        gist = self.gist(about.pooled)
        fine = joined(self.spread(tokens), self.sketch.cells, self.part)
        return Heard(about, gist, fine.reshape(len(gist), -1, fine.shape[-1]), found.whole)

    def __call__(
        self, x: Float[jax.Array, "B *shape C"], t: Float[jax.Array, " B"], heard: Heard
    ) -> Float[jax.Array, "B *shape C"]:
        if x.shape[1:] != (*self.shape, self.channels):
            raise ValueError(f"grids of {x.shape[1:]}, where this network was built for {(*self.shape, self.channels)}")
        rates = jnp.exp(jnp.linspace(0.0, math.log(FASTEST), WAVES))[None]
        waves = t[:, None] * rates
        how = jax.nn.silu(heard.gist + self.time(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=1)))
        y = self.enter(cut(x, self.patch)) + self.place[...][None] + heard.places
        for layer in self.layers:
            y = layer(y, how, heard.about)
        return joined(self.leave(rms_norm(y)), self.cells, self.patch)


class DiTBlock(nnx.Module):
    """Self-attention with a learned bias for each pair of places, attention to the condition, a gated perceptron; the first and
    the last are scaled and shifted by `how` (adaLN-Zero, Peebles & Xie 2023, sec. 3.2)."""

    def __init__(self, width: int, heads: int, places: int, tokens: int | None, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads = heads
        zeros = nnx.initializers.zeros
        self.modulate = nnx.Linear(width, 4 * width, kernel_init=zeros, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, kernel_init=zeros, rngs=rngs)
        self.between = nnx.Param(jnp.zeros((heads, places, places)))
        self.look = None if tokens is None else CrossAttention(width, heads, tokens, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "B L D"], how: Float[jax.Array, "B D"], about: Encoding) -> Float[jax.Array, "B L D"]:
        scale, shift, wide, along = jnp.split(self.modulate(how)[:, None], 4, axis=-1)
        q, k, v = jnp.split(self.qkv(rms_norm(x) * (1 + scale) + shift), 3, axis=-1)
        parts = (y.reshape(*y.shape[:2], self.heads, y.shape[2] // self.heads) for y in (q, k, v))
        x = x + self.out(mixed_by(*parts, mask=None, bias=self.between[...][None]).reshape(x.shape))
        if self.look is not None:
            x = x + self.look(rms_norm(x), about.tokens, about.mask)
        return x + self.down(geglu(self.up(rms_norm(x) * (1 + wide) + along)))
