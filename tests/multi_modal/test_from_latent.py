"""The guide's generators: callable as it shows them, from any seed, with noise of their own for each sample and modality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.latent.render import Shapes
from sensorium.latent.words import Language
from sensorium.multi_modal import datasets

LATENTS = jax.random.normal(jax.random.key(0), (64, 32))
GENERATORS = {
    "image": (datasets.generate_image_from_latent, {"image_shape": (8, 8, 3)}, (32, 32, 3), (0, 1)),
    "text": (datasets.generate_text_from_latent, {"vocab_size": 100, "seq_length": 34}, (50,), (0, 999)),
    "audio": (datasets.generate_audio_from_latent, {"sample_rate": 8000, "duration": 0.1}, (16000,), (-1, 1)),
    "video": (datasets.generate_video_from_latent, {"video_shape": (4, 8, 8, 3)}, (8, 16, 16, 3), (0, 1)),
    "sensor": (datasets.generate_sensor_from_latent, {"sensor_shape": (32, 3)}, (128, 6), (-9, 9)),
}
every = pytest.mark.parametrize("name", GENERATORS)


def correlation(a, b) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


@every
def test_it_is_called_as_in_the_guide(name):
    generate, small, shape, (low, high) = GENERATORS[name]
    sample = generate(LATENTS[0], 0.8)
    assert sample.shape == shape and low <= sample.min() and sample.max() <= high
    assert (sample.dtype == jnp.int32) == (name == "text")
    batch = generate(LATENTS, 0.8, **small)
    np.testing.assert_allclose(batch[3], generate(LATENTS[3], 0.8, **small), atol=1e-6, err_msg="a batch is its samples")


@every
def test_at_strength_one_it_is_a_function_of_the_latent_and_at_zero_it_says_nothing_of_it(name):
    generate, small, *_ = GENERATORS[name]
    keys = [jax.random.key(i) for i in (1, 2)]
    np.testing.assert_array_equal(generate(LATENTS, 1.0, **small, key=keys[0]), generate(LATENTS, 1.0, **small, key=keys[1]))
    at = generate(LATENTS, 0.0, **small, key=keys[0])
    np.testing.assert_array_equal(at, generate(-LATENTS, 0.0, **small, key=keys[0]))
    assert (np.asarray(at) != np.asarray(generate(LATENTS, 0.0, **small, key=keys[1]))).mean() > 0.3


@every
def test_samples_differ_in_their_noise_with_a_key_and_without(name):
    """The sample code drew the noise of every sample from one constant key: at strength 0 all were the same."""
    generate, small, *_ = GENERATORS[name]
    for key in (None, jax.random.key(1)):
        noise = np.asarray(generate(LATENTS, 0.0, **small, key=key), np.float64)
        noise = (noise - noise.mean(0)).reshape(len(LATENTS), -1)
        assert abs(correlation(noise[0], noise[1])) < 0.8 and abs(correlation(noise[1:], noise[:-1])) < 0.1


def test_modalities_do_not_share_their_noise():
    """Coordinates of the noise of two modalities, read back from signals: the sample code drew both from one stream."""
    from sensorium.latent.copies import copies

    for key in (None, jax.random.key(4)):
        a, b = (copies(LATENTS, 0.0, name, key) for name in ("image", "audio"))
        assert abs(correlation(a, b)) < 0.08


@every
def test_every_dimension_of_the_latent_reaches_every_modality(name):
    """The sample code used 8 of 32 for pictures, 10 for sounds."""
    generate, small, *_ = GENERATORS[name]
    base = generate(LATENTS[:1], 1.0, **small)
    moved = generate(LATENTS[:1] + 0.7 * jnp.eye(32), 1.0, **small)
    change = np.abs(np.asarray(moved, np.float64) - np.asarray(base)).reshape(32, -1).max(1)
    assert (change > (0.5 if name == "text" else 0.01)).all(), change


def test_channels_have_colours_and_the_sign_and_size_of_the_latent_show():
    image = np.asarray(datasets.generate_image_from_latent(LATENTS, 1.0))
    assert np.abs(image[..., 0] - image[..., 1]).mean() > 0.1, "the sample code's pictures were grey"
    faint, strong = (np.asarray(datasets.generate_image_from_latent(s * LATENTS, 1.0)).std() for s in (0.3, 1.0))
    assert faint < 0.6 * strong, "its min-max of every picture lost the amplitude"
    assert correlation(datasets.generate_image_from_latent(-LATENTS, 1.0), image) < -0.99, "its |z| lost the sign"
    a, b = (np.asarray(datasets.generate_audio_from_latent(jnp.full(32, z), 1.0)) for z in (0.3, 1.3))
    assert np.abs(a - b).max() > 0.1, "its |z| % 1 took 0.3 and 1.3 for one"


def test_a_text_is_a_sentence_and_no_bag_of_words():
    text = np.asarray(datasets.generate_text_from_latent(LATENTS, 1.0))
    language = Language(1000, 50)
    assert language.grammatical(text).all()
    assert not language.grammatical(text[:, ::-1]).any()


def test_an_aligned_sample_has_the_keys_of_the_guide():
    sample = datasets.generate_aligned_sample(LATENTS[0], 0.8)
    assert list(sample) == ["image", "text", "audio", "latent", "alignment_score"] and sample["alignment_score"] == 0.8
    for name in ("image", "text", "audio"):
        np.testing.assert_array_equal(sample[name], GENERATORS[name][0](LATENTS[0], 0.8))
    five = datasets.generate_aligned_sample(LATENTS[0], 0.8, modalities=tuple(GENERATORS), key=jax.random.key(0))
    assert {name: jnp.shape(five[name]) for name in GENERATORS} == {name: shape for name, (_, _, shape, _) in GENERATORS.items()}


@every
def test_it_compiles_and_bad_input_is_told(name):
    generate, small, *_ = GENERATORS[name]
    compiled = jax.jit(lambda z, a: generate(z, a, **small))
    np.testing.assert_allclose(compiled(LATENTS, 0.5), generate(LATENTS, 0.5, **small), atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(16,\): expected \(32,\)"):
        generate(jnp.zeros(16), 0.8)
    with pytest.raises(ValueError, match=r"alignment_strength=1\.5"):
        generate(LATENTS[0], 1.5)
    with pytest.raises(ValueError, match=r"image_shape=\(32, 32\): expected 3 sizes"):
        datasets.generate_image_from_latent(LATENTS[0], 0.8, (32, 32))


def test_a_key_may_be_a_seed_or_a_stream():
    latent = jax.random.normal(jax.random.key(5), (32,))
    expected = datasets.generate_image_from_latent(latent, 0.5, (8, 8, 3), key=jax.random.key(3))
    np.testing.assert_array_equal(datasets.generate_image_from_latent(latent, 0.5, (8, 8, 3), key=3), expected)
    rngs = nnx.Rngs(3)
    first, second = (datasets.generate_image_from_latent(latent, 0.5, (8, 8, 3), key=rngs) for _ in range(2))
    assert (first != second).any(), "a stream moves on"
    sample = datasets.generate_aligned_sample(latent, 0.5, modalities=("image",), shapes=Shapes(image=(8, 8, 3)), key=3)
    np.testing.assert_array_equal(sample["image"], expected)
