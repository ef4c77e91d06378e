"""The four generators of pictures and sounds at a size of a few thousand numbers, and inputs that fit them."""

import jax
import numpy as np
from flax import nnx

from sensorium.multi_modal.to_audio import ImageToAudioGenerator, TextToAudioGenerator
from sensorium.multi_modal.to_grid import ToGrid
from sensorium.multi_modal.to_image import AudioToImageGenerator, TextToImageGenerator

PICTURE, SAMPLES, RATE, WORDS, LENGTH = (8, 12, 3), 130, 1600, 20, 6
NAMES = ("text-image", "audio-image", "text-audio", "image-audio")


def built(name: str, seed: int = 0) -> ToGrid:
    rngs = nnx.Rngs(seed)
    if name == "text-image":
        return TextToImageGenerator(WORDS, 8, PICTURE, rngs=rngs, max_length=LENGTH, hidden_dim=16)
    if name == "audio-image":
        return AudioToImageGenerator(SAMPLES, PICTURE, 16, rngs=rngs, sample_rate=RATE)
    if name == "text-audio":
        return TextToAudioGenerator(WORDS, 8, SAMPLES, rngs=rngs, max_length=LENGTH, hidden_dim=16, sample_rate=RATE)
    return ImageToAudioGenerator(PICTURE, SAMPLES, 16, rngs=rngs, sample_rate=RATE)


def loud(name: str) -> ToGrid:
    """One whose last layer is as large as the others, so that what differs can be seen."""
    generator = built(name)
    generator.decoder.last.project.kernel[...] *= 20.0
    return generator


def batch(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        "text": draw.integers(2, WORDS, (rows, LENGTH)).astype(np.int32),
        "image": draw.random((rows, *PICTURE), np.float32),
        "audio": draw.uniform(-0.9, 0.9, (rows, SAMPLES)).astype(np.float32),
    }


def loss_and_gradients(generator: ToGrid, data: dict[str, np.ndarray]) -> tuple[float, list[np.ndarray]]:
    graph, state = nnx.split(generator)
    value, gradients = jax.jit(jax.value_and_grad(lambda state, data: nnx.merge(graph, state).loss(data)))(state, data)
    return float(value), [np.asarray(leaf) for leaf in jax.tree.leaves(gradients)]
