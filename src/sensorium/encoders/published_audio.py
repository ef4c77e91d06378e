"""The audio transformer of Whisper (Radford et al. 2022, section 2.2). Equal parameters, equal numbers."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.nn.log_mel import LogMel
from sensorium.nn.stack import Stack
from sensorium.nn.standard import LayerNorm, StandardLayer

Sounds = Float[jax.Array, "B N"] | Float[jax.Array, "B F T"]
STRIDE, TAPS = 2, 3
"""Frames of the spectrogram to a token; frames that each convolution looks at."""


class PublishedAudio(Stack):
    """Waves f32[B N] in [-1, 1], or log-mel spectrograms f32[B F T] as the checkpoint's own preprocessing makes them -> Encoding.

    Two convolutions over three frames, the second with a stride of 2, then layers over `length` tokens; so T is 2·`length`, and
    N is `hop` times that. The tokens are the last hidden state, normed; pooled is their mean. Silence is a sound like others:
    a mask says of a row only whether it has any. `layers`: arguments of `StandardLayer`, and "depth". `sound`: "rate", "window",
    "hop" and "bins" of the spectrogram.
    """

    def __init__(self, length: int, layers: Mapping[str, Any], sound: Mapping[str, int], *, rngs: nnx.Rngs):
        said = dict(layers)
        depth, width, eps = said.pop("depth"), said["width"], said.get("eps", 1e-5)
        self.front = LogMel(sound["rate"], sound["window"], sound["hop"], sound["bins"], 0, 8000, whisper=True)
        self.length, self.pooled_width = length, width
        self.first = nnx.Linear(TAPS * sound["bins"], width, rngs=rngs)
        self.second = nnx.Linear(TAPS * width, width, rngs=rngs)
        self.positions = nnx.Param(0.02 * jax.random.normal(rngs.params(), (length, width)))
        self.layers = nnx.List([StandardLayer(**said, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, eps)

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        layers = {"width": 128, "depth": 2, "heads": 4, "hidden": 512, "activation": "gelu", "key_bias": False}
        sound = {"rate": field.rate, "window": 400, "hop": 160, "bins": 80}
        return {"length": field.samples // (STRIDE * sound["hop"]), "layers": layers, "sound": sound}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedAudio", jax.Array]:
        layers = {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "activation": "gelu", "key_bias": False}
        encoder = cls(5, layers, {"rate": 16000, "window": 64, "hop": 32, "bins": 6}, rngs=rngs)
        waves = jnp.sin(jnp.arange(320.0)[None] * jnp.asarray([0.1, 0.7, 2.0])[:, None])
        return encoder, waves + 0.3 * jax.random.normal(rngs.data(), (3, 320))

    def __call__(self, x: Sounds, mask: jax.Array | None = None) -> Encoding:
        tokens = self.norm(self.through(self._start(x)))
        pooled = jnp.mean(tokens, axis=1)
        if mask is None:
            return Encoding(tokens, jnp.ones(tokens.shape[:2], bool), pooled)
        there = jnp.any(mask, axis=1)
        kept = jnp.broadcast_to(there[:, None], tokens.shape[:2])
        return Encoding(jnp.where(kept[:, :, None], tokens, 0), kept, jnp.where(there[:, None], pooled, 0))

    def states(self, x: Sounds, mask: Bool[jax.Array, "B N"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each, before the last norm: f32[B L D]."""
        return self.each(self._start(x))

    def normalised(self, x: Sounds) -> Float[jax.Array, "B F T"]:
        """The spectrograms of waves; spectrograms as they are. A `ValueError` where either is of another length."""
        frames = STRIDE * self.length
        if x.ndim == 2 and x.shape[1] != (samples := frames * self.front.hop):
            raise ValueError(f"sounds of {x.shape[1]} samples, where this encoder is built for {samples}: fill up with silence")
        if x.ndim == 3 and x.shape[1:] != (self.front.bins, frames):
            got, built = f"{x.shape[1]} bands × {x.shape[2]} frames", f"{self.front.bins} × {frames}"
            raise ValueError(f"spectrograms of {got}, where this encoder is built for {built}")
        return self.front(x.astype(jnp.float32)).transpose(0, 2, 1) if x.ndim == 2 else x

    def _start(self, x: Sounds) -> Float[jax.Array, "B L D"]:
        frames = self.normalised(x).transpose(0, 2, 1).astype(self.first.kernel.dtype)
        tokens = jax.nn.gelu(self.first(_side_by_side(frames, 1)), approximate=False)
        tokens = jax.nn.gelu(self.second(_side_by_side(tokens, STRIDE)), approximate=False)
        return tokens + self.positions[...][None]


def _side_by_side(x: Float[jax.Array, "B T F"], stride: int) -> Float[jax.Array, "B t E"]:
    """Each frame with its neighbours, zero beyond the ends: a convolution is then a product with one matrix."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + x.shape[1] : stride] for i in range(TAPS)], axis=-1)
