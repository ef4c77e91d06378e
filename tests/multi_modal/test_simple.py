"""The small models of the guide's first example, and the faults of its sample code."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.multi_modal.simple import SimpleImageEncoder, SimpleMultimodalModel, SimpleTextEncoder

PICTURES = jax.random.uniform(jax.random.key(0), (3, 32, 32, 3))
IDS = jnp.array([[4, 5, 6, 7, 1], [9, 3, 1, 0, 0], [7, 4, 2, 1, 0]])


@cache
def model() -> SimpleMultimodalModel:
    return SimpleMultimodalModel(rngs=nnx.Rngs(0))


class Given(nnx.Module):
    """Its `encode`, by position."""

    def __init__(self, model):
        self.model = model

    def __call__(self, image, text):
        return self.model.encode(image=image, text=text)


def test_the_picture_encoder_is_called_and_gives_unit_vectors():
    encoder = SimpleImageEncoder(rngs=nnx.Rngs(0))
    many = run(encoder, PICTURES)
    assert many.shape == (3, 128)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(run(encoder, PICTURES[0]), many[0], atol=1e-5)


def test_it_sees_where_things_are():
    """The sample code takes the mean of two convolutions, almost a histogram of colours: places leave no trace."""
    encoder = SimpleImageEncoder(rngs=nnx.Rngs(0))
    moved = jnp.roll(PICTURES, (16, 16), axis=(1, 2))
    cosines = np.sum(run(encoder, PICTURES) * run(encoder, moved), axis=1)
    assert (cosines < 0.9).all(), cosines


def test_the_size_of_its_pictures_is_used():
    assert run(SimpleImageEncoder(16, 8, rngs=nnx.Rngs(0)), PICTURES[:, :16, :16]).shape == (3, 8)
    with pytest.raises(ValueError, match=r"\(32, 32, 3\), where this encoder was built for \(16, 16, 3\)"):
        SimpleImageEncoder(16, 8, rngs=nnx.Rngs(0))(PICTURES)
    with pytest.raises(ValueError, match="30×30 cannot be cut into patches of 4×4"):
        SimpleImageEncoder(30, 8, rngs=nnx.Rngs(0))


def test_the_text_encoder_hears_order_and_no_padding():
    """The sample code's mean of words is blind to order, and three pads move it to a cosine of 0.54."""
    encoder = SimpleTextEncoder(rngs=nnx.Rngs(0))
    words = jnp.array([[4, 5, 6, 7, 1]])
    vector = run(encoder, words)[0]
    assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-5)
    assert run(encoder, words[:, ::-1])[0] @ vector < 0.99
    np.testing.assert_allclose(run(encoder, jnp.pad(words, ((0, 0), (0, 3))))[0], vector, atol=1e-6)
    np.testing.assert_allclose(run(encoder, words[0]), vector, atol=1e-6)
    garbage = jnp.pad(words, ((0, 0), (0, 3)), constant_values=9)
    np.testing.assert_allclose(run(encoder, garbage, jnp.arange(8)[None] < 5)[0], vector, atol=1e-6)


@pytest.mark.parametrize("embed_dim", [8, 7, 10])
def test_any_width_finds_its_heads(embed_dim):
    assert run(SimpleTextEncoder(11, embed_dim, rngs=nnx.Rngs(0)), IDS).shape == (3, embed_dim)


def test_the_model_is_called_with_one_pair_or_rows_of_pairs():
    """As documented; the sample code's is not callable."""
    whole = run(model(), PICTURES, IDS)
    assert whole.shape == (3, 10)
    np.testing.assert_allclose(run(model(), PICTURES[1], IDS[1]), whole[1], atol=1e-5)


def test_both_inputs_of_a_row_change_its_output_and_no_other_row_s():
    whole = run(model(), PICTURES, IDS)
    for changed in (run(model(), PICTURES.at[1].set(0.3), IDS), run(model(), PICTURES, IDS.at[1, 0].set(50))):
        moved = np.abs(changed - whole).max(1)
        assert moved[1] > 1e-3 and moved[0] < 1e-5 and moved[2] < 1e-5


def test_similarity_of_pairs_is_the_diagonal_of_all_with_all():
    simple = model()
    matrix = run(simple, PICTURES, IDS, method="similarity_matrix")
    images, texts = (np.asarray(run(simple, x, method=name)) for name, x in (("encode_image", PICTURES), ("encode_text", IDS)))
    np.testing.assert_allclose(matrix, images @ texts.T, atol=1e-5)
    np.testing.assert_allclose(run(simple, PICTURES, IDS, method="compute_similarity"), np.diag(matrix), atol=1e-5)
    np.testing.assert_allclose(run(simple, PICTURES[:2], IDS, method="similarity_matrix"), matrix[:2], atol=1e-5)
    np.testing.assert_allclose(run(simple, PICTURES[1], IDS[1], method="compute_similarity"), matrix[1, 1], atol=1e-5)
    np.testing.assert_allclose(run(simple, PICTURES[0], IDS, method="similarity_matrix"), matrix[:1], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)


def test_the_mask_reaches_the_text():
    garbage = jnp.where(IDS == 0, 9, IDS)
    for name in ("__call__", "compute_similarity", "similarity_matrix"):
        expected = run(model(), PICTURES, IDS, method=name)
        np.testing.assert_allclose(run(model(), PICTURES, garbage, IDS != 0, method=name), expected, atol=1e-5)


def test_unequal_rows_are_an_error_that_names_the_matrix():
    for call in (model(), model().compute_similarity):
        with pytest.raises(ValueError, match=r"\(3, 32, 32, 3\) with token ids of shape \(2, 5\): .*call similarity_matrix"):
            call(PICTURES, IDS[:2])


def test_vectors_of_zeros_have_finite_gradients():
    """The sample code's x / (|x| + 1e-8) has a NaN gradient at 0."""
    simple = nnx.clone(model())
    for encoder in (simple.image_encoder, simple.text_encoder):
        projection = encoder.encoder.projection
        projection.kernel[...] = jnp.zeros_like(projection.kernel[...])
    graph, state = nnx.split(simple, nnx.Param)

    def loss(state):
        similarity = nnx.merge(graph, state).compute_similarity(PICTURES, IDS.at[0].set(0))
        return jnp.sum(similarity), similarity

    gradients, similarity = jax.jit(jax.grad(loss, has_aux=True))(state)
    assert not similarity.any() and all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_encode_gives_what_it_is_given():
    simple = model()
    both = run(Given(simple), PICTURES[0], IDS[0])
    assert set(both) == set(simple.modalities)
    np.testing.assert_allclose(both["text"], run(simple, IDS[0], method="encode_text"), atol=1e-6)
    np.testing.assert_allclose(both["image"], run(simple, PICTURES[0], method="encode_image"), atol=1e-6)
    assert simple.supports("text") and not simple.supports("video") and not simple.encode()
