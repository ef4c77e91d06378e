"""ImageEncoder and TextEncoder: one or a batch, what each hears, and the faults of the sample code, each turned round."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.core.errors import UnknownName
from sensorium.encoders import ConvNet, ViT
from sensorium.modalities import Text
from sensorium.multi_modal.image_text import ImageEncoder, TextEncoder, real_tokens

PICTURES = jax.random.uniform(jax.random.key(0), (3, 16, 16, 3))
IDS = jnp.array([[4, 5, 6, 7, 8, 9, 1, 0], [4, 3, 2, 1, 0, 0, 0, 0], [4, 10, 3, 3, 5, 1, 0, 0], [4, 2, 9, 1, 0, 0, 0, 0]])
backbones = pytest.mark.parametrize("backbone", ["convnet", "vit"])
each = pytest.mark.parametrize("pooling", ["cls", "mean"])
"""The sample code's way and the default; tests/encoders/test_transformer.py has all of them."""


@cache
def eye(backbone: str, embed_dim: int = 6) -> ImageEncoder:
    depth = {"convnet": 2, "vit": 1}[backbone]
    dials = {"image_size": 16, "patch": 4, "width": 8, "depth": depth}
    return ImageEncoder(embed_dim, rngs=nnx.Rngs(0), backbone=backbone, **dials)


@cache
def reader(pooling: str = "mean", **ids: int) -> TextEncoder:
    return TextEncoder(11, 8, 8, rngs=nnx.Rngs(0), num_layers=1, num_heads=2, pooling=pooling, **ids)


@backbones
def test_pictures_become_unit_vectors_one_or_many_compiled_or_not(backbone):
    """The sample code gives vectors of a fixed size of picture only, and takes no single one."""
    encoder = eye(backbone)
    many = run(encoder, PICTURES)
    assert many.shape == (3, 6)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(encoder(PICTURES), many, atol=1e-5)
    np.testing.assert_allclose(run(encoder, PICTURES[1]), many[1], atol=1e-5)
    assert np.abs(many[0] - many[1]).max() > 0.01


@backbones
def test_bytes_and_numpy_are_read_as_zero_to_one(backbone):
    encoder, seen = eye(backbone), np.asarray(PICTURES * 255).round().astype(np.uint8)
    expected = run(encoder, jnp.asarray(seen / 255, jnp.float32))
    np.testing.assert_allclose(run(encoder, jnp.asarray(seen)), expected, atol=1e-5)
    np.testing.assert_allclose(encoder(seen), expected, atol=1e-5)


@pytest.mark.parametrize(("shape", "axes"), [((3, 16, 16), (1, 2, 0)), ((2, 3, 16, 16), (0, 2, 3, 1))])
def test_channels_first_is_an_error_that_names_the_transpose(shape, axes):
    with pytest.raises(ValueError, match=r"looks like channels first, give images.transpose") as error:
        eye("vit")(jnp.zeros(shape))
    assert str(axes) in str(error.value)
    assert run(eye("vit"), jnp.zeros(shape).transpose(axes)).shape[-1] == 6


def test_what_is_no_picture_is_an_error_that_says_what_was_got():
    encoder = eye("convnet")
    with pytest.raises(ValueError, match=r"pictures of shape \(2, 16, 16, 1\): expected"):
        encoder(jnp.zeros((2, 16, 16, 1)))
    with pytest.raises(ValueError, match=r"values from 0 to 255: expected \[0, 1\] where they are floats; divide by 255"):
        encoder(PICTURES.at[0, 0, 0, 0].set(255.0).at[0, 0, 0, 1].set(0.0))
    with pytest.raises(ValueError, match="values from nan to nan"):
        encoder(PICTURES.at[0, 0, 0, 0].set(jnp.nan))
    with pytest.raises(ValueError, match=r"pictures of int32: expected f32 in \[0, 1\] or u8"):
        encoder(jnp.zeros((16, 16, 3), jnp.int32))
    with pytest.raises(ValueError, match=r"\(8, 16, 3\), where this encoder was built for \(16, 16, 3\)"):
        encoder(PICTURES[:, ::2])
    with pytest.raises(ValueError, match="pictures of 15×15, where this encoder is built for 16×16"):
        eye("vit")(PICTURES[:, 1:, 1:])


def test_what_cannot_be_built_is_an_error_at_once():
    with pytest.raises(UnknownName, match=r"no backbone is called 'vot'\. Did you mean 'vit'"):
        ImageEncoder(8, rngs=nnx.Rngs(0), backbone="vot")
    with pytest.raises(ValueError, match=r"30×30 cannot be cut into patches of 4×4"):
        ImageEncoder(8, rngs=nnx.Rngs(0), image_size=30, backbone="convnet")
    with pytest.raises(ValueError, match="pictures of 30×30"):
        ImageEncoder(8, rngs=nnx.Rngs(0), image_size=30)
    with pytest.raises(ValueError, match="patch, width and depth are for a backbone by name"):
        ImageEncoder(8, rngs=nnx.Rngs(0), backbone=ConvNet(16, rngs=nnx.Rngs(0)), patch=8)


def test_an_encoder_of_ones_own_is_a_backbone():
    own = ConvNet(16, widths=(4, 6), rngs=nnx.Rngs(0))
    encoder = ImageEncoder(5, rngs=nnx.Rngs(1), image_size=16, backbone=own)
    encoding = run(encoder, PICTURES, method="encode")
    np.testing.assert_allclose(encoding.pooled, run(own, PICTURES * 2 - 1)[2], atol=1e-5)
    flat = encoding.pooled @ np.asarray(encoder.projection.kernel[...])
    np.testing.assert_allclose(run(encoder, PICTURES), flat / np.linalg.norm(flat, axis=1, keepdims=True), atol=1e-5)


def test_a_vit_reads_other_sizes_and_gives_a_token_a_patch():
    encoder = eye("vit")
    wide = jax.image.resize(PICTURES, (3, 16, 32, 3), "linear")
    assert run(encoder, wide).shape == (3, 6)
    encoding = run(encoder, wide[0], method="encode")
    assert encoding.tokens.shape == (4 * 8, 8) and encoding.mask.shape == (32,) and encoding.pooled.shape == (8,)
    np.testing.assert_allclose(encoding.tokens, run(encoder, wide, method="encode").tokens[0], atol=1e-5)


def test_the_default_is_a_vit_s_16_at_224():
    """22 million parameters: 12 layers of 384, patches of 16×16 (768 values that no narrow layer squeezes)."""
    encoder = nnx.eval_shape(lambda: ImageEncoder(rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(encoder, nnx.Param)))
    layer = 384 * 3 * 384 + 384 * 384 + 384 * 1536 + 1536 + 768 * 384 + 384
    assert count == 768 * 384 + 384 + 14 * 14 * 384 + 12 * layer + (6 * 64 + 3 * 384 * 384) + 384 * 512
    assert isinstance(encoder.backbone, ViT)
    assert encoder.backbone.patches.project.kernel.shape == (768, 384)


@backbones
def test_black_pictures_have_finite_gradients_and_zero_vectors_too(backbone):
    encoder = nnx.clone(eye(backbone))
    encoder.projection.kernel[...] = jnp.zeros_like(encoder.projection.kernel[...])
    graph, state = nnx.split(encoder)

    def loss(state, x):
        out = nnx.merge(graph, state)(x)
        return jnp.sum(out), out

    gradients, out = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(state, jnp.zeros((3, 16, 16, 3)))
    assert not out.any(), "a projection of zeros gives zeros, not NaN"
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@each
def test_texts_become_unit_vectors_one_or_many_compiled_or_not(pooling):
    encoder = reader(pooling)
    many = run(encoder, IDS)
    assert many.shape == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(run(encoder, IDS[2]), many[2], atol=1e-5)
    if pooling == "mean":
        np.testing.assert_allclose(encoder(np.asarray(IDS)), many, atol=1e-5)


@each
def test_rows_do_not_hear_each_other_and_a_row_hears_all_of_its_own(pooling):
    """The sample code attends across the batch: row 3 changes row 0, and tokens 1 to L − 1 of row 0 change nothing."""
    encoder = reader(pooling)
    before = run(encoder, IDS)
    np.testing.assert_allclose(run(encoder, IDS.at[3].set(IDS[1]))[:3], before[:3], atol=1e-6)
    for place in range(6):
        after = run(encoder, IDS.at[0, place].set(2))
        assert np.abs(after[0] - before[0]).max() > 1e-3, place
        np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)


@each
def test_captions_that_begin_alike_differ(pooling):
    """All rows begin with 4: with the sample code their cosines are 1."""
    vectors = run(reader(pooling), IDS)
    cosines = vectors @ vectors.T
    assert (cosines[~np.eye(4, dtype=bool)] < 0.999).all()


@each
def test_three_pads_do_not_move_the_vector(pooling):
    encoder = reader(pooling)
    words = jnp.array([[4, 5, 6, 7, 1]])
    before = run(encoder, words)
    np.testing.assert_allclose(run(encoder, jnp.pad(words, ((0, 0), (0, 3)))), before, atol=1e-6)
    mask = jnp.arange(8)[None] < 5
    garbage = jnp.pad(words, ((0, 0), (0, 3)), constant_values=9)
    np.testing.assert_allclose(run(encoder, garbage, mask), before, atol=1e-6)
    assert np.abs(run(encoder, garbage) - before).max() > 1e-3


@each
def test_a_text_of_padding_is_zero_with_finite_gradients(pooling):
    graph, state = nnx.split(reader(pooling))

    def loss(state):
        out = nnx.merge(graph, state)(jnp.zeros((2, 8), jnp.int32))
        return jnp.sum(out), out

    gradients, out = jax.jit(jax.grad(loss, has_aux=True))(state)
    assert not out.any() and all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_an_id_outside_of_the_vocabulary_is_an_error_that_asks_for_the_tokenizer_s_size():
    """The sample code has 30000 words whatever the tokenizer; BERT's last is 30521, CLIP's 49407."""
    with pytest.raises(ValueError, match=r"from 0 to 11, .*vocab_size=11 and reads 0 to 10: .*at least 12"):
        reader()(IDS.at[2, 1].set(11))
    with pytest.raises(ValueError, match="token ids from -1 to"):
        reader()(IDS.at[2, 1].set(-1))


def test_a_text_that_is_too_long_or_of_another_form_is_an_error():
    with pytest.raises(ValueError, match="a text of 9 tokens, where this encoder was built for at most 8"):
        reader()(jnp.ones((2, 9), jnp.int32))
    with pytest.raises(ValueError, match=r"token ids of shape \(1, 2, 8\): expected \(L,\) or \(B, L\)"):
        reader()(jnp.ones((1, 2, 8), jnp.int32))
    with pytest.raises(UnknownName, match="no pooling of a text is called 'last'"):
        reader("last")


def test_special_ids_can_be_others():
    """Padding of 9 and an end of 10; or, as CLIP's tokenizer has it, one id for both, whose first is the end."""
    encoder = reader("eos", pad_id=9, eos_id=10)
    np.testing.assert_allclose(run(encoder, jnp.array([4, 5, 10, 9, 9])), run(encoder, jnp.array([4, 5, 10])), atol=1e-6)
    both = real_tokens(jnp.array([[4, 5, 9, 9], [9, 9, 9, 9], [4, 4, 4, 4]]), 9, 9)
    np.testing.assert_array_equal(both, [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])


def test_a_field_of_texts_says_how_large_its_encoder_is():
    field = Text(words=("red", "circle"), length=8)
    encoder = TextEncoder.for_field(field, 8, rngs=nnx.Rngs(0), num_layers=1)
    assert (encoder.vocab_size, encoder.max_len) == (field.vocabulary_size, 8)
    row = field.prepare("a red circle")
    np.testing.assert_allclose(
        run(encoder, jnp.asarray(row["text"])), run(encoder, jnp.asarray(row["text"]), jnp.asarray(row["text/mask"])), atol=1e-6
    )


def test_tokens_of_a_text():
    encoding = run(reader(), IDS[1], method="encode")
    assert encoding.tokens.shape == (8, 8) and encoding.mask.sum() == 4
    np.testing.assert_allclose(encoding.pooled, encoding.tokens[:4].mean(0), atol=1e-5)


def test_the_default_has_six_layers_and_eight_heads():
    encoder = nnx.eval_shape(lambda: TextEncoder(rngs=nnx.Rngs(0)))
    assert encoder.backbone.table.shape == (30000, 512) and encoder.backbone.positions.table.shape == (77, 512)
    assert [layer.heads for layer in encoder.backbone.transformer.layers] == [8] * 6


def test_constants_inside_a_compiled_function_are_checked_and_read():
    encoder = reader()
    np.testing.assert_allclose(jax.jit(lambda: encoder(IDS[0] * 1))(), run(encoder, IDS[0]), atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda: eye("vit")(PICTURES))(), run(eye("vit"), PICTURES), atol=1e-5)
    with pytest.raises(ValueError, match="token ids from 12 to 12"):
        jax.jit(lambda: encoder(np.full(4, 12, np.int32)))()
