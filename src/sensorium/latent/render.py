"""Arrays of every modality from the coordinates of a copy: jit-able, a batch at a time, and nothing random in it."""

from dataclasses import dataclass, field

import jax
from jaxtyping import Float

from sensorium.core.errors import UnknownName, nearest
from sensorium.latent import patterns
from sensorium.latent.words import Language

LOUDNESS = 0.35
"""How far a sound is driven into the curve that holds it in [-1, 1]: its samples stay within 0.01 of proportional."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of what is rendered. Units: pixels; ids; Hz and seconds."""

    image: tuple[int, int, int] = (32, 32, 3)
    language: Language = field(default_factory=Language)
    rate: int = 16000
    seconds: float = 1.0
    video: tuple[int, int, int, int] = (8, 16, 16, 3)
    sensor: tuple[int, int] = (128, 6)

    @property
    def samples(self) -> int:
        return int(self.rate * self.seconds)

    def patterns(self, modality: str) -> patterns.Patterns:
        """The 32 patterns of a modality other than text."""
        if modality == "audio":
            return patterns.audio(self.rate, self.samples)
        drawn = {"image": patterns.image, "video": patterns.video, "sensor": patterns.sensor}
        return drawn[modality](getattr(self, modality))


MODALITIES = ("image", "text", "audio", "video", "sensor")


def known(modality: str) -> str:
    if modality not in MODALITIES:
        raise UnknownName(f"no modality is called {modality!r}.{nearest(modality, MODALITIES)}")
    return modality


def render(modality: str, coordinates: Float[jax.Array, "*B 32"], shapes: Shapes) -> jax.Array:
    """What a modality shows of some coordinates: image and video f32 in [0, 1], audio f32 in [-1, 1], sensor f32, text i32."""
    if known(modality) == "text":
        return shapes.language.say(coordinates)
    signal = coordinates @ shapes.patterns(modality).T
    return squashed(modality, signal).reshape(*signal.shape[:-1], *shape(modality, shapes))


def shape(modality: str, shapes: Shapes) -> tuple[int, ...]:
    """The shape of one sample of a modality."""
    sizes = {"image": shapes.image, "text": (shapes.language.length,), "audio": (shapes.samples,)}
    return (sizes | {"video": shapes.video, "sensor": shapes.sensor})[known(modality)]


def squashed(modality: str, signal: Float[jax.Array, "*B values"]) -> Float[jax.Array, "*B values"]:
    """A signal of variance 1 in the range of its modality: the normal distribution function, which has a closed mean."""
    if modality == "sensor":
        return signal
    if modality == "audio":
        return 2 * jax.scipy.stats.norm.cdf(LOUDNESS * signal) - 1
    return jax.scipy.stats.norm.cdf(signal)


def mean_squashed(
    modality: str, mean: Float[jax.Array, "*B values"], variance: Float[jax.Array, "*B values"]
) -> Float[jax.Array, "*B values"]:
    """E[squashed(g)] where g is normal: E[Φ(s·g)] = Φ(s·μ / √(1 + s²σ²))."""
    gain = LOUDNESS if modality == "audio" else 1.0
    return mean if modality == "sensor" else squashed(modality, mean * jax.lax.rsqrt(1 + gain**2 * variance))
