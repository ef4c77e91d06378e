"""Pictures from texts and sounds: word order, padding and phase, and what the synthetic data can teach."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from multi_modal.grids import LENGTH, PICTURE, batch, built, loud
from nn.once import run

from sensorium.multi_modal.datasets import create_synthetic_multi_modal_dataset
from sensorium.multi_modal.to_image import AudioToImageGenerator, TextToImageGenerator

TEXTS = ("text-image", "text-audio")


@pytest.mark.parametrize("name", TEXTS)
def test_word_order_changes_the_result(name):
    """[V] The sample code takes the mean of the words."""
    generator, text = loud(name), batch()["text"]
    text[0] = [3, 5, 7, 9, 11, 1]
    swapped = text.copy()
    swapped[0, [1, 3]] = swapped[0, [3, 1]]
    made, other = run(generator, text), run(generator, swapped)
    assert np.abs(made[0] - other[0]).max() > 1e-3
    np.testing.assert_array_equal(made[1:], other[1:])


@pytest.mark.parametrize("name", TEXTS)
def test_padding_and_masked_tokens_change_nothing(name):
    """[V] The sample code's padding moves the mean. Here a short text, one with pads and one with masked words are equal."""
    generator, text = loud(name), batch()["text"]
    short = run(generator, text[:, :4])
    padded = text.copy()
    padded[:, 4:] = 0
    np.testing.assert_array_equal(run(generator, padded), short)
    mask = np.arange(LENGTH)[None].repeat(4, 0) < 4
    np.testing.assert_array_equal(run(generator, text, mask), short)
    np.testing.assert_array_equal(run(generator, text[0], mask[0]), run(generator, text[0, :4]))
    assert np.abs(run(generator, text) - short).max() > 1e-3


def test_a_text_of_pads_only_gives_a_picture():
    made = run(loud("text-image"), np.zeros((2, 3), np.int32))
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made[0], made[1])


def test_other_words_can_be_the_padding():
    generator = TextToImageGenerator(20, 8, (4, 4, 1), rngs=nnx.Rngs(0), max_length=5, hidden_dim=8, pad_id=19)
    np.testing.assert_array_equal(run(generator, np.array([0, 3, 19, 19])), run(generator, np.array([0, 3])))


def test_the_phase_of_a_sound_counts():
    generator, sound = loud("audio-image"), batch()["audio"]
    assert np.abs(run(generator, sound) - run(generator, -sound)).max() > 1e-3


@pytest.mark.parametrize(
    ("text", "mask", "message"),
    [
        (np.ones((2, LENGTH + 1), np.int32), None, f"{LENGTH + 1} tokens: expected 1 to {LENGTH}, or build the generator"),
        (np.full((1, 3), 20, np.int32), None, "ids from 20 to 20, where this generator has vocab_size=20 and reads 0 to 19"),
        (np.full((1, 3), -1, np.int32), None, "ids from -1 to -1"),
        (np.ones((2, 2, 3), np.int32), None, r"\(L,\) or \(B, L\)"),
        (np.ones((2, 3), np.int32), np.ones(3, bool), r"expected a flag for each, \(2, 3\)"),
    ],
)
def test_what_is_no_text_is_refused(text, mask, message):
    with pytest.raises(ValueError, match=message):
        built("text-image")(text, mask)


def test_targets_are_bytes_or_floats_and_channels_come_last():
    generator, data = built("text-image"), batch()
    pixels = np.round(data["image"] * 255).astype(np.uint8)
    floats = generator.loss(data | {"image": pixels.astype(np.float32) / 255})
    assert float(generator.loss(data | {"image": pixels})) == pytest.approx(float(floats), rel=1e-5)
    with pytest.raises(ValueError, match=r"expected \(8, 12, 3\).*give image.transpose\(0, 2, 3, 1\)"):
        generator.loss(data | {"image": data["image"].transpose(0, 3, 1, 2)})
    with pytest.raises(ValueError, match=r"from 0 to 255: expected \[0, 1\]"):
        generator.loss(data | {"image": np.linspace(0, 255, data["image"].size, dtype=np.float32).reshape(-1, *PICTURE)})
    with pytest.raises(ValueError, match="image_shape="):
        TextToImageGenerator(20, 8, (8, 8), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("source", ["text", "audio"])
def test_it_learns_what_the_source_says_of_the_picture(source):
    """[V] The sample code regresses to the mean picture: explained variance 0."""
    generator: TextToImageGenerator | AudioToImageGenerator
    if source == "text":
        generator = TextToImageGenerator(100, 32, (8, 8, 3), rngs=nnx.Rngs(0), max_length=33, hidden_dim=64)
    else:
        generator = AudioToImageGenerator(320, (8, 8, 3), 64, rngs=nnx.Rngs(0), sample_rate=6400)
    shapes = {"image_shape": (8, 8, 3), "text_vocab_size": 100, "text_sequence_length": 33}
    sound = {"audio_sample_rate": 6400, "audio_duration": 0.05}
    names = (source, "image")
    train = create_synthetic_multi_modal_dataset(names, 10**6, 0.9, **shapes, **sound, rngs=0)
    generator.fit(train, 120, batch_size=64, lr=1e-2)
    held_out = create_synthetic_multi_modal_dataset(names, 256, 0.9, **shapes, **sound, rngs=0, split="test")
    rows = np.arange(256)
    made = run(generator, jnp.asarray(held_out.read(rows)[source]))
    assert held_out.explained(source, "image", rows, made) > 0.9
