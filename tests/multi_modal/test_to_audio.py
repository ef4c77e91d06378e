"""Sounds from texts and pictures: their lengths, what is refused, and what the synthetic data can teach."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from multi_modal.grids import SAMPLES, batch, built
from nn.once import run

from sensorium.multi_modal.datasets import create_synthetic_multi_modal_dataset
from sensorium.multi_modal.to_audio import ImageToAudioGenerator, TextToAudioGenerator


def test_four_texts_of_seven_words_are_four_sounds():
    """[V] The sample code gives (7, N): it takes the mean over the batch."""
    generator = TextToAudioGenerator(20, 8, 50, rngs=nnx.Rngs(0), max_length=7, hidden_dim=8, sample_rate=800)
    text = np.random.default_rng(0).integers(2, 20, (4, 7)).astype(np.int32)
    made = run(generator, text)
    assert made.shape == (4, 50)
    changed = text.copy()
    changed[3] = text[0]
    again = run(generator, changed)
    np.testing.assert_array_equal(again[:3], made[:3])
    np.testing.assert_array_equal(again[3], made[0])


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros((4, SAMPLES - 1), np.float32), rf"expected \({SAMPLES},\) or \(B, {SAMPLES}\)"),
        (np.zeros((4, SAMPLES), np.int16), "of int16: expected f32 in"),
        (np.linspace(-30, 30, 4 * SAMPLES, dtype=np.float32).reshape(4, -1), "values from -30 to 30"),
    ],
)
def test_what_is_no_sound_is_refused(sound, message):
    with pytest.raises(ValueError, match=message):
        built("text-audio").loss(batch() | {"audio": sound})
    with pytest.raises(ValueError, match=message):
        built("audio-image")(sound)


def test_sizes_that_make_no_sound_are_refused():
    with pytest.raises(ValueError, match="audio_length=0: expected a whole number"):
        ImageToAudioGenerator((8, 8, 3), 0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="sample_rate=50: expected"):
        ImageToAudioGenerator((8, 8, 3), 10, rngs=nnx.Rngs(0), sample_rate=50)


@pytest.mark.parametrize("source", ["text", "image"])
def test_it_learns_what_the_source_says_of_the_sound(source):
    """[V] The sample code's sound has no more to do with its text than the mean sound, which is silence."""
    generator: TextToAudioGenerator | ImageToAudioGenerator
    if source == "text":
        generator = TextToAudioGenerator(100, 32, 320, rngs=nnx.Rngs(0), max_length=33, hidden_dim=64, sample_rate=6400)
    else:
        generator = ImageToAudioGenerator((8, 8, 3), 320, 64, rngs=nnx.Rngs(0), sample_rate=6400)
    shapes = {"image_shape": (8, 8, 3), "text_vocab_size": 100, "text_sequence_length": 33}
    sound = {"audio_sample_rate": 6400, "audio_duration": 0.05}
    names = (source, "audio")
    train = create_synthetic_multi_modal_dataset(names, 10**6, 0.9, **shapes, **sound, rngs=0)
    generator.fit(train, 120, batch_size=64, lr=1e-2)
    held_out = create_synthetic_multi_modal_dataset(names, 256, 0.9, **shapes, **sound, rngs=0, split="test")
    rows = np.arange(256)
    made = run(generator, jnp.asarray(held_out.read(rows)[source]))
    assert held_out.explained(source, "audio", rows, made) > 0.9
