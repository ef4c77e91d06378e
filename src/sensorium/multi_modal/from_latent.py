"""The guide's generators: one sample, or a batch, of each modality from a latent of 32 numbers.

The noise of a modality is independent of that of any other. With `key` (a key, a seed, an nnx.Rngs) it is drawn from that;
without, from the bits of the latent, so that different latents have independent noise and the same call gives the same sample.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float, Int, Num

from sensorium.core.randomness import key_of
from sensorium.latent.copies import check, copies
from sensorium.latent.render import Shapes, known, render
from sensorium.latent.words import Language

Latent = Num[jax.Array, "*B d"]
Strength = float | jax.Array
Randomness = nnx.Rngs | jax.Array | int


def generate_image_from_latent(
    latent: Latent, alignment_strength: Strength, image_shape: Sequence[int] = (32, 32, 3), *, key: Randomness | None = None
) -> Float[jax.Array, "*B H W C"]:
    """A picture in [0, 1]: 32 smooth coloured patterns, each as strong as a mixture of the latent says."""
    return _generate("image", latent, alignment_strength, key, Shapes(image=_sizes("image_shape", image_shape, 3)))


def generate_text_from_latent(
    latent: Latent, alignment_strength: Strength, vocab_size: int = 1000, seq_length: int = 50, *, key: Randomness | None = None
) -> Int[jax.Array, "*B L"]:
    """Token ids: `seq_length` − 1 words of a small language (see `latent.words`) and the end, 1; 0 is the id of padding."""
    return _generate("text", latent, alignment_strength, key, Shapes(language=Language(vocab_size, seq_length)))


def generate_audio_from_latent(
    latent: Latent,
    alignment_strength: Strength,
    sample_rate: int = 16000,
    duration: float = 1.0,
    *,
    key: Randomness | None = None,
) -> Float[jax.Array, "*B N"]:
    """A sound in [-1, 1] of `sample_rate`·`duration` samples: four notes of eight partials."""
    return _generate("audio", latent, alignment_strength, key, Shapes(rate=sample_rate, seconds=duration))


def generate_video_from_latent(
    latent: Latent, alignment_strength: Strength, video_shape: Sequence[int] = (8, 16, 16, 3), *, key: Randomness | None = None
) -> Float[jax.Array, "*B T H W C"]:
    """A clip in [0, 1]: 32 drifting gratings."""
    return _generate("video", latent, alignment_strength, key, Shapes(video=_sizes("video_shape", video_shape, 4)))


def generate_sensor_from_latent(
    latent: Latent, alignment_strength: Strength, sensor_shape: Sequence[int] = (128, 6), *, key: Randomness | None = None
) -> Float[jax.Array, "*B T C"]:
    """A trace of variance 1, samples by channels: 32 slow waves."""
    return _generate("sensor", latent, alignment_strength, key, Shapes(sensor=_sizes("sensor_shape", sensor_shape, 2)))


def generate_aligned_sample(
    latent: Latent,
    alignment_strength: Strength,
    *,
    modalities: Sequence[str] = ("image", "text", "audio"),
    shapes: Shapes = Shapes(),  # noqa: B008 - frozen
    key: Randomness | None = None,
) -> dict[str, jax.Array | float]:
    """One sample of several modalities, with its `latent` and its `alignment_score`, which is the strength."""
    key = None if key is None else key_of(key)  # once: the modalities share it, each folds in its own name
    made = {name: _generate(known(name), latent, alignment_strength, key, shapes) for name in modalities}
    return {**made, "latent": jnp.asarray(latent), "alignment_score": alignment_strength}


def _generate(modality: str, latent: Latent, strength: Strength, key: Randomness | None, shapes: Shapes) -> jax.Array:
    check(latent, strength)
    key = None if key is None else key_of(key)
    return _rendered(modality, jnp.asarray(latent, jnp.float32), jnp.asarray(strength, jnp.float32), key, shapes)


@partial(jax.jit, static_argnames=("modality", "shapes"))
def _rendered(modality: str, latent: jax.Array, strength: jax.Array, key: jax.Array | None, shapes: Shapes) -> jax.Array:
    return render(modality, copies(latent, strength, modality, key), shapes)


def _sizes(name: str, sizes: Sequence[int], axes: int) -> tuple:
    if len(sizes) != axes or min(sizes) < 1:
        raise ValueError(f"{name}={tuple(sizes)}: expected {axes} sizes of at least 1")
    return tuple(int(size) for size in sizes)
