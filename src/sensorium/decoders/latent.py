"""Pictures as small grids of numbers and back, so that what is generated can be many times smaller than what is shown."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float, Num, UInt8

from sensorium.decoders.grid import QUIET, Expand, Mix
from sensorium.nn.convolution import Convolution, Patches
from sensorium.nn.gaussian import Gaussian
from sensorium.nn.norms import rms_norm

PATCH = 4
FACTORS = (4, 8)
MEMORY = 0.99
"""What of the statistics of the latents so far is kept at each step of training."""
WIDEST = 10.0


class GridVAE(nnx.Module):
    """Pictures f32[B H W C] in [-1, 1] -> latents, normal, `factor` times fewer cells a side with `latent` numbers each; and back
    (Kingma & Welling 2014; Rombach et al. 2022, §3.1, without an adversary: the decoder's output is a mean).

    Patches of 4×4 pixels first and last; for a `factor` of 8 the grid is halved between. On either side residual convolutions.
    The sides of a picture have to be multiples of `factor`; any such size is read, as nothing here knows of places. What the
    means of the latents are like, channel by channel, is counted while it trains (see `observe`), and kept with the parameters.
    """

    def __init__(self, channels: int = 3, factor: int = 4, latent: int = 4, width: int = 64, depth: int = 2, *, rngs: nnx.Rngs):
        if factor not in FACTORS:
            raise ValueError(f"factor={factor}: expected one of {FACTORS}")
        halves = factor // PATCH - 1
        inner = width << halves
        self.factor, self.channels, self.latent = factor, channels, latent
        self.read = Patches((PATCH, PATCH), channels, width, rngs=rngs)
        self.looked = Mix(width, 2, rngs=rngs)
        self.halve = nnx.List([Convolution(width, inner, 2, rngs=rngs) for _ in range(halves)])
        self.said = nnx.Linear(inner, 2 * latent, rngs=rngs)
        self.heard = nnx.Linear(latent, inner, rngs=rngs)
        self.inner = nnx.List([Mix(inner, 2, rngs=rngs) for _ in range(depth * halves)])
        self.grow = nnx.List([Expand(inner, width, (2, 2), rngs=rngs) for _ in range(halves)])
        self.outer = nnx.List([Mix(width, 2, rngs=rngs) for _ in range(depth)])
        self.paint = Expand(width, channels, (PATCH, PATCH), QUIET, rngs=rngs)
        self.seen = nnx.BatchStat(jnp.zeros(()))
        self.sums, self.squares = nnx.BatchStat(jnp.zeros(latent)), nnx.BatchStat(jnp.zeros(latent))

    def encode(self, x: Float[jax.Array, "B H W C"]) -> Gaussian:
        """The distribution of each picture's latents, f32[B h w c]."""
        x = self.looked(self.read(x))
        for halve in self.halve:
            x = jax.nn.gelu(halve(rms_norm(x)))
        mean, log_variance = jnp.split(self.said(rms_norm(x)).astype(jnp.float32), 2, axis=-1)
        return Gaussian(mean, WIDEST * jnp.tanh(log_variance / WIDEST))

    def decode(self, z: Float[jax.Array, "B h w c"]) -> Float[jax.Array, "B H W C"]:
        """The mean of the pictures of these latents; near [-1, 1], not held to it."""
        x = self.heard(z)
        for mix in self.inner:
            x = mix(x)
        for grow in self.grow:
            x = grow(x)
        for mix in self.outer:
            x = mix(x)
        return self.paint(x).astype(jnp.float32)

    def observe(self, means: Float[jax.Array, "B h w c"]) -> None:
        """Counts the latents of a batch in training, so that `levels` knows them."""
        means = jax.lax.stop_gradient(means)
        for stored, new in (
            (self.seen, jnp.float32(math.prod(means.shape[:3]))),
            (self.sums, jnp.sum(means, axis=(0, 1, 2))),
            (self.squares, jnp.sum(jnp.square(means), axis=(0, 1, 2))),
        ):
            stored[...] = MEMORY * stored[...] + (1 - MEMORY) * new

    def levels(self) -> Gaussian:
        """Mean and variance of each channel of the latents; NaN where nothing was counted yet, so that an autoencoder that is
        not trained makes nothing that could pass for latents."""
        mean = self.sums[...] / self.seen[...]
        return Gaussian(mean, jnp.log(self.squares[...] / self.seen[...] - jnp.square(mean)))


class Latent(nnx.Module):
    """The form of pictures u8[B H W C], or clips u8[B T H W C] frame by frame, as latents of a trained `GridVAE`: what a
    `Denoiser` learns and draws in the place of pixels, f32[B *T h w c] within [-1, 1], and back.

    The latents are the means, less their own mean, over `reach` deviations, channel by channel; what lies beyond is cut. No
    gradient passes: the autoencoder stays as it was trained. JSON builds it with random weights (NaN come out of it); those of a
    trained one are put in by `take`, and lie in the files of whatever holds it.
    """

    def __init__(self, channels: int = 3, factor: int = 4, latent: int = 8, width: int = 64, depth: int = 2, reach: float = 4.0):
        # Any key will do: these numbers are there for their shapes, until `take`.
        self.vae = GridVAE(channels, factor, latent, width, depth, rngs=nnx.Rngs(0))
        self.reach = reach

    def take(self, vae: GridVAE) -> None:
        """Puts in the weights of a trained autoencoder of this shape; a `ValueError` where it has another."""
        mine, theirs = nnx.state(self.vae), nnx.state(vae)
        shapes = [jax.tree.map(lambda x: x.shape, state) for state in (mine, theirs)]
        if jax.tree.leaves(shapes[0]) != jax.tree.leaves(shapes[1]):
            raise ValueError("the autoencoder has other channels, factor, latent, width or depth than these latents")
        nnx.update(self.vae, theirs)

    def into(self, x: Num[jax.Array, "B ..."]) -> Float[jax.Array, "B ..."]:
        frames = x.reshape(-1, *x.shape[-3:])
        mean = self.vae.encode(frames.astype(jnp.float32) / 127.5 - 1.0).mean
        level = self._level()
        y = jnp.clip((mean - level.mean) / (self.reach * level.deviation), -1.0, 1.0)
        return jax.lax.stop_gradient(y.reshape(*x.shape[:-3], *y.shape[1:]))

    def back(self, y: Float[jax.Array, "B ..."]) -> UInt8[jax.Array, "B ..."]:
        level = self._level()
        z = y.reshape(-1, *y.shape[-3:]) * (self.reach * level.deviation) + level.mean
        x = jnp.clip(jnp.round((self.vae.decode(z) + 1.0) * 127.5), 0.0, 255.0).astype(jnp.uint8)
        return x.reshape(*y.shape[:-3], *x.shape[1:])

    def _level(self) -> Gaussian:
        return Gaussian(*(part[None, None, None] for part in self.vae.levels()))
