"""Sounds as what a decoder can make: magnitudes of short-time spectra in logarithms, and a wave from magnitudes alone."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex64, Float, Num

from sensorium.nn.short_time import ShortTime

_NEAR = 2
"""Bins on each side over which a Hann window spreads one tone."""


@dataclass(frozen=True)
class Spectrum:
    """A form for decoders: waves f32[B N] within [-1, 1] -> f32[B T F] within [0, 1], and back to waves (see `ShortTime`).

    Magnitudes m become log(1 + m/quiet) / log(1 + 1/quiet): logarithms of what is louder than `quiet`, and of silence 0, which is
    what most of a sound's spectra are, and what a decoder says that has learned nothing.
    Phases are not kept: a model would have to guess them, and an ear hardly hears them. `back` finds some by `turns` of
    `griffin_lim`; nothing is learned. N is a multiple of `hop`.
    """

    window: int = 512
    hop: int = 128
    quiet: float = 5e-4
    turns: int = 16
    momentum: float = 0.99

    def __post_init__(self):
        _ = self.short_time
        if not 0 < self.quiet < 1:
            raise ValueError(f"quiet={self.quiet}: expected a magnitude over 0 and under 1")

    @property
    def short_time(self) -> ShortTime:
        return ShortTime(self.window, self.hop)

    def into(self, x: Num[jax.Array, "B N"]) -> Float[jax.Array, "B T F"]:
        magnitudes = jnp.abs(self.short_time.spectra(x.astype(jnp.float32)))
        return jnp.log1p(magnitudes / self.quiet) / self._loudest

    def back(self, y: Float[jax.Array, "B T F"]) -> Num[jax.Array, "B N"]:
        """Waves, cut to within [-1, 1]."""
        magnitudes = self.quiet * jnp.expm1(jnp.clip(y, 0.0, 1.0) * self._loudest)
        return jnp.clip(griffin_lim(magnitudes, self.short_time, self.turns, self.momentum), -1.0, 1.0)

    @property
    def _loudest(self) -> float:
        return math.log1p(1 / self.quiet)


def griffin_lim(
    magnitudes: Float[jax.Array, "B T F"], short_time: ShortTime, turns: int = 16, momentum: float = 0.99
) -> Float[jax.Array, "B N"]:
    """A wave whose spectra have about these magnitudes. A turn makes a wave of magnitudes and phases, and takes the phases of its
    spectra for the next (Griffin & Lim 1984), further on by `momentum` in the direction they moved (Perraudin et al. 2013,
    algorithm 2; 0: as in 1984). The phases begin with those of `steady` tones, so the same magnitudes give the same wave.

    One compiled loop. The wave's magnitudes may be off: of those of real sounds by −25 to −35 dB, of others by more.
    """
    if turns < 0 or not 0 <= momentum < 1:
        raise ValueError(f"turns={turns}, momentum={momentum}: expected 0 or more, and from 0 to less than 1")

    def turn(state: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
        phases, before = state
        found = short_time.spectra(short_time.wave(jax.lax.complex(magnitudes, zeros) * phases))
        return (_turned(found - momentum / (1 + momentum) * before), found), None

    zeros = jnp.zeros_like(magnitudes)
    first = steady(magnitudes, short_time)
    start = jax.lax.complex(jnp.cos(first), jnp.sin(first)), jax.lax.complex(zeros, zeros)
    phases, _ = jax.lax.scan(turn, start, None, length=turns)[0]
    return short_time.wave(jax.lax.complex(magnitudes, zeros) * phases)


def steady(magnitudes: Float[jax.Array, "B T F"], short_time: ShortTime) -> Float[jax.Array, "B T F"]:
    """Phases as if each bin heard the loudest tone near it, and every tone went on from frame to frame (after Beauregard et al.
    2015, Single Pass Spectrogram Inversion): a tone's frequency is the centre of the power in the bins it spreads over.

    They spare `griffin_lim` most of its turns. Neighbouring bins of a tone are half a turn apart, as a Hann window has them.
    """
    bins = magnitudes.shape[2]
    power = jnp.pad(jnp.square(magnitudes), ((0, 0), (0, 0), (_NEAR, _NEAR)))
    near = jnp.stack([power[:, :, i : i + bins] for i in range(2 * _NEAR + 1)])
    offset, number = jnp.arange(-_NEAR, _NEAR + 1, dtype=jnp.float32), np.arange(bins)[None, None]
    centre = number.astype(np.float32) + jnp.tensordot(offset, near, 1) / jnp.maximum(near.sum(0), 1e-12)
    loudest = jnp.clip(number + jnp.argmax(near, axis=0) - _NEAR, 0, bins - 1)
    tone = jnp.take_along_axis(centre, loudest, axis=2)
    ahead = math.pi * short_time.hop / short_time.window * (tone[:, 1:] + tone[:, :-1])
    # Whole turns are left out at once: a sum over many frames would lose digits.
    gone = jnp.cumsum(jnp.mod(ahead, 2 * math.pi), axis=1)
    return jnp.pad(gone, ((0, 0), (1, 0), (0, 0))) + (math.pi * (number % 2)).astype(np.float32)


def _turned(x: Complex64[jax.Array, "B T F"]) -> Complex64[jax.Array, "B T F"]:
    """`x` at magnitude 1, and 0 where it is 0."""
    scale = jax.lax.rsqrt(jnp.maximum(jnp.square(x.real) + jnp.square(x.imag), 1e-30))
    return jax.lax.complex(x.real * scale, x.imag * scale)
