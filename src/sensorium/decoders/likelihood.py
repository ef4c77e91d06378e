"""How likely a field is, given a latent: what a variational autoencoder decodes to, and is trained by."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int, Num

from sensorium.core.table import Table
from sensorium.decoders.grid import GridDecoder
from sensorium.decoders.sampling import Ends, Sampling, write
from sensorium.decoders.tokens import Context, TokenDecoder
from sensorium.nn.norms import rms_norm
from sensorium.nn.spectrogram import log_mel

QUIETEST = -6.0
"""The log of the least deviation that is learned: what is decoded exactly would else be infinitely likely."""


class Imputed(NamedTuple):
    """What a field may have been, in S draws, and in short. Of numbers: `draws` f32[S B …] with the noise of the field itself,
    `mean` f32[B …], `deviation` f32[B …] of latent and noise together. Of texts: `draws` i32[S B L], `mean` i32[B L] the token
    that most draws have at each place, and `deviation` f32[B L], the share of draws that have another one there."""

    draws: jax.Array
    mean: jax.Array
    deviation: jax.Array

    def interval(self, share: float) -> tuple[jax.Array, jax.Array]:
        """(low, high): between them lies the middle `share` of the draws. Of numbers only."""
        if not 0 < share < 1:
            raise ValueError(f"share={share}: expected a part of all draws, between 0 and 1")
        low, high = jnp.quantile(self.draws, jnp.array([(1 - share) / 2, (1 + share) / 2]), axis=0)
        return low, high


@runtime_checkable
class Likelihood(Protocol):
    """p(x | z) of one field."""

    def nats(self, z: Float[jax.Array, "B D"], x: jax.Array, mask: jax.Array | None) -> Float[jax.Array, " B"]:
        """−ln p(x | z) of each row, over what is real by the mask."""
        ...

    def generate(self, z: Float[jax.Array, "B D"], key: jax.Array | None = None) -> jax.Array:
        """The likeliest x, or with a key one that is drawn where drawing is usual (texts)."""
        ...

    def impute(self, z: Float[jax.Array, "S B D"], key: jax.Array) -> Imputed:
        """What x may be where z may be each of S."""
        ...

    def settle(self) -> None:
        """Called after every update: holds parameters within bounds."""
        ...


class GridLikelihood(nnx.Module):
    """Numbers on a grid, f32[B *shape C]: normal about what a `GridDecoder` makes of z, with one learned deviation for the field
    (Rybkin et al. 2021, σ-VAE, §3), which weighs the fields of a joint model against each other by themselves.

    `view` says what the grid is of a field's array: "plain", the array itself; "picture", u8 as [-1, 1], and clipped to it where
    it is shown; "log_mel", the spectrogram of waves f32[B N] with `hop` and `rate`, one channel, as many bins as `shape` has.
    `mean` and `std`, one a channel, are taken out before and put back after.
    """

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        channels: int,
        patch: Sequence[int],
        width: int = 128,
        view: str = "plain",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        rate: int = 16000,
        hop: int = 200,
        *,
        rngs: nnx.Rngs,
    ):
        if view not in VIEWS:
            raise ValueError(f"view={view!r}: expected one of {', '.join(VIEWS)}")
        self.mean = tuple([0.0] * channels if mean is None else mean)
        self.std = tuple([1.0] * channels if std is None else std)
        if len(self.mean) != channels or len(self.std) != channels or min(self.std) <= 0:
            raise ValueError(f"mean={mean}, std={std}: expected {channels} numbers each, one a channel, and std above 0")
        self.view, self.rate, self.hop = view, rate, hop
        self.decoder = GridDecoder(latent, shape, channels, patch, width, rngs=rngs)
        self.log_deviation = nnx.Param(jnp.zeros(()))

    def numbers(self, x: Num[jax.Array, "B ..."], mask: Bool[jax.Array, "B ..."] | None = None) -> Float[jax.Array, "B *shape C"]:
        """A field's array as it is decoded: on the grid, less the mean, over the deviation of the field. Masked samples of a wave
        are silence."""
        if self.view == "log_mel":
            wave = x if mask is None else jnp.where(mask, x, 0.0)
            x = log_mel(wave, self.rate, hop=self.hop, bins=self.decoder.shape[1])[..., None]
        elif x.dtype == jnp.uint8:
            x = x.astype(jnp.float32) / 127.5 - 1.0
        return (x.astype(jnp.float32) - self._over(self.mean, x.ndim)) / self._over(self.std, x.ndim)

    def nats(
        self, z: Float[jax.Array, "B D"], x: Num[jax.Array, "B ..."], mask: Bool[jax.Array, "B ..."] | None = None
    ) -> Float[jax.Array, " B"]:
        """−ln p(x | z), in the units in which it is decoded; a mask [B T] leaves out moments, or frames."""
        log_deviation = self.log_deviation[...]
        target = self.numbers(x, mask)
        real = None if mask is None or self.view == "log_mel" else mask.reshape(mask.shape + (1,) * (target.ndim - mask.ndim))
        away = (target if real is None else jnp.where(real, target, 0.0)) - self.decoder(z).astype(jnp.float32)
        each = 0.5 * jnp.square(away * jnp.exp(-log_deviation)) + log_deviation + 0.5 * math.log(2 * math.pi)
        return jnp.sum(each if real is None else jnp.where(real, each, 0.0), axis=tuple(range(1, each.ndim)))

    def generate(self, z: Float[jax.Array, "B D"], key: jax.Array | None = None) -> Float[jax.Array, "B *shape C"]:
        """The mean, in the units of the field; its own noise is left out, with a key too."""
        made = self.decoder(z).astype(jnp.float32)
        made = made * self._over(self.std, made.ndim) + self._over(self.mean, made.ndim)
        return jnp.clip(made, -1.0, 1.0) if self.view == "picture" else made

    def impute(self, z: Float[jax.Array, "S B D"], key: jax.Array) -> Imputed:
        means = jax.lax.map(self.generate, z)
        own = jnp.broadcast_to(jnp.exp(self.log_deviation[...]) * self._over(self.std, means.ndim), means.shape)
        draws = means + own * jax.random.normal(key, means.shape)
        return Imputed(draws, jnp.mean(means, axis=0), jnp.sqrt(jnp.var(means, axis=0) + jnp.square(own[0])))

    def settle(self) -> None:
        self.log_deviation[...] = jnp.maximum(self.log_deviation[...], QUIETEST)

    def _over(self, channels: Sequence[float], rank: int) -> Float[jax.Array, "..."]:
        return jnp.asarray(channels, jnp.float32).reshape((1,) * (rank - 1) + (-1,))


class TokenLikelihood(nnx.Module):
    """Texts i32[B L]: a `TokenDecoder` about some tokens that a linear map makes of z."""

    def __init__(
        self,
        latent: int,
        vocabulary: int,
        length: int,
        width: int = 64,
        depth: int = 1,
        heads: int = 4,
        tokens: int = 4,
        pad: int = 0,
        end: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.tokens, self.ends = tokens, Ends(pad, end)
        self.looked = nnx.Linear(latent, tokens * width, rngs=rngs)
        self.gist = nnx.Linear(latent, width, rngs=rngs)
        self.decoder = TokenDecoder(vocabulary, length, width, depth, heads, rngs=rngs)

    def context(self, z: Float[jax.Array, "B D"]) -> Context:
        return Context(rms_norm(self.looked(z).reshape(len(z), self.tokens, self.decoder.width)), self.gist(z))

    def nats(
        self, z: Float[jax.Array, "B D"], x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None = None
    ) -> Float[jax.Array, " B"]:
        log_p = jax.nn.log_softmax(self.decoder(x, self.context(z), mask).astype(jnp.float32), axis=-1)
        right = jnp.take_along_axis(log_p, x[:, :, None], axis=2, mode="clip")[:, :, 0]
        return -jnp.sum(right if mask is None else jnp.where(mask, right, 0.0), axis=1)

    def generate(self, z: Float[jax.Array, "B D"], key: jax.Array | None = None) -> Int[jax.Array, "B L"]:
        """The likeliest words one after another, or with a key words that are drawn."""
        keys = None if key is None else jax.random.split(key, len(z))
        return write(self.decoder, self.context(z), self.ends, Sampling(), keys)[0]

    def impute(self, z: Float[jax.Array, "S B D"], key: jax.Array) -> Imputed:
        draws = jax.lax.map(lambda one: self.generate(*one), (z, jax.random.split(key, len(z))))
        ids = jnp.arange(self.decoder.vocabulary)
        counted = jax.lax.map(lambda each: jnp.sum(draws == each, axis=0, dtype=jnp.int32), ids)
        most = jnp.max(counted, axis=0)
        return Imputed(draws, jnp.argmax(counted, axis=0).astype(jnp.int32), 1.0 - most.astype(jnp.float32) / len(z))

    def settle(self) -> None:
        """There is nothing to hold within bounds."""


VIEWS = ("plain", "picture", "log_mel")
LIKELIHOODS: Table[Any] = Table("likelihood", {"grid": GridLikelihood, "tokens": TokenLikelihood})
"""What a field of a `JointVAE` may be decoded by."""
