"""Raw arrays side by side, and embeddings averaged: no id is loud, rows stay rows, weights go to those that are there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.multi_modal.fuse_plain import id_codes
from sensorium.multi_modal.fusion import early_fusion, late_fusion

KEY = jax.random.key(0)
IMAGE = jax.random.uniform(KEY, (3, 4, 5, 3))
TEXT = jnp.array([[7, 999, 2, 1, 0], [3, 3, 3, 3, 1], [5, 1, 0, 0, 0]])
AUDIO = jax.random.uniform(KEY, (3, 40), minval=-1)
A, B, C = (jax.random.normal(jax.random.key(i), (3, 6)) * 10.0**i for i in range(3))


def lengths(x, *sizes) -> list[float]:
    return [round(float(jnp.linalg.norm(part)), 4) for part in jnp.split(x, np.cumsum(sizes)[:-1])]


def units(*rows) -> list[np.ndarray]:
    return [np.asarray(x) / np.linalg.norm(np.asarray(x), axis=-1, keepdims=True) for x in rows]


def test_early_every_modality_has_the_same_energy_and_ids_are_no_magnitudes():
    one = early_fusion(IMAGE[0], TEXT[0], AUDIO[0], text_width=8)
    assert one.shape == (60 + 5 * 8 + 40,)
    assert lengths(one, 60, 40, 40) == [1, 1, 1]
    assert jnp.abs(one).max() < 1, "999 among them"
    words = one[60:100].reshape(5, 8)
    np.testing.assert_allclose(jnp.linalg.norm(words, axis=1), [0.5, 0.5, 0.5, 0.5, 0], atol=1e-6)
    pixels = np.asarray(IMAGE[0]).reshape(-1)
    np.testing.assert_allclose(one[:60], (pixels - pixels.mean()) / pixels.std() / np.sqrt(60), atol=1e-5)


def test_early_a_batch_is_its_rows_one_by_one():
    batch = early_fusion(IMAGE, TEXT, AUDIO)
    assert batch.shape[0] == 3
    for i in range(3):
        np.testing.assert_allclose(batch[i], early_fusion(IMAGE[i], TEXT[i], AUDIO[i]), atol=1e-6)
    mapped = jax.jit(jax.vmap(early_fusion))(IMAGE, TEXT, AUDIO)
    np.testing.assert_allclose(mapped, batch, atol=1e-6)


def test_early_a_missing_modality_changes_no_other():
    whole = early_fusion(IMAGE, TEXT, AUDIO, text_width=8)
    np.testing.assert_array_equal(early_fusion(IMAGE, None, AUDIO), jnp.delete(whole, jnp.arange(60, 100), axis=1))
    masked = early_fusion(IMAGE, TEXT, AUDIO, text_width=8, masks={"text": jnp.array([True, False, True])})
    np.testing.assert_array_equal(masked[::2], whole[::2])
    np.testing.assert_array_equal(masked[1], whole[1].at[60:100].set(0))
    np.testing.assert_array_equal(early_fusion(audio=AUDIO, text=TEXT, image=IMAGE, text_width=8), whole)


def test_early_loudness_and_brightness_do_not_count():
    whole = early_fusion(IMAGE, TEXT, AUDIO)
    np.testing.assert_allclose(early_fusion(IMAGE / 2 + 0.2, TEXT, AUDIO / 1000), whole, atol=1e-4)


def test_early_constant_signals_are_zeros_with_finite_gradients():
    flat = jnp.full((2, 8, 8, 3), 0.3)
    assert jnp.abs(early_fusion(flat)).max() < 1e-2
    gradient = jax.grad(lambda x: jnp.sum(early_fusion(x) ** 3))(jnp.zeros((2, 8, 8, 3)))
    assert jnp.isfinite(gradient).all()
    assert not early_fusion(text=jnp.zeros((2, 5), jnp.int32)).any(), "only padding"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: early_fusion(IMAGE, TEXT[0]), "one sample or a batch"),
        (lambda: early_fusion(IMAGE[:2], TEXT), "numbers of rows differ"),
        (lambda: early_fusion(IMAGE[0, 0]), "3 axes are one sample, 4 a batch"),
        (lambda: early_fusion(text=TEXT / 2), "token ids"),
        (lambda: early_fusion(depth=IMAGE), "say batched=True or False"),
        (lambda: early_fusion(), "nothing to fuse"),
        (lambda: early_fusion(IMAGE, masks={"adio": jnp.ones(3, bool)}), "'adio'"),
    ],
)
def test_early_what_does_not_fit_is_an_error(call, words):
    with pytest.raises((ValueError, UnknownName), match=words):
        call()


def test_early_other_modalities_by_name_when_one_says_whether_they_are_batches():
    depth = IMAGE[..., 0]
    whole = early_fusion(audio=AUDIO, depth=depth)
    np.testing.assert_array_equal(whole[:, 40:], early_fusion(depth=depth, batched=True))
    np.testing.assert_array_equal(whole[0, 40:], early_fusion(depth=depth[0], batched=False))


def test_codes_of_ids_have_one_length_and_are_apart_near_or_far():
    codes = np.asarray(id_codes(jnp.arange(1000), 64))
    np.testing.assert_allclose((codes**2).sum(1), 1, rtol=1e-5)
    alike = codes @ codes.T - np.eye(1000)
    assert np.abs(alike).max() < 0.6 and abs(alike.mean()) < 0.01
    near = np.mean([np.abs(np.diagonal(alike, apart)).mean() for apart in range(1, 21)])
    assert near < 1.3 * np.abs(alike).mean(), "neighbours are no more alike than others"


def test_late_modes_have_the_guides_shapes_and_values():
    a, b, c = units(A, B, C)
    np.testing.assert_allclose(late_fusion(A, B, C), (a + b + c) / 3, atol=1e-6)
    np.testing.assert_allclose(late_fusion(A, B, C, "mean"), (a + b + c) / 3, atol=1e-6)
    np.testing.assert_allclose(late_fusion(A, B, C, mode="concat"), np.concatenate([a, b, c], 1), atol=1e-6)
    guide = late_fusion(A[0], B[0], C[0], weights=[0.4, 0.4, 0.2])
    np.testing.assert_allclose(guide, (0.4 * a + 0.4 * b + 0.2 * c)[0], atol=1e-6)
    assert late_fusion(A[0], B[0], C[0], mode="concat").shape == (18,)


def test_late_weights_are_renormalised_over_what_a_row_has():
    a, b, c = units(A, B, C)
    weights = {"image": 0.5, "text": 0.25, "audio": 0.25}
    expected = (2 * a + c) / 3
    np.testing.assert_allclose(late_fusion(A, None, C, weights=weights), expected, atol=1e-6)
    np.testing.assert_allclose(late_fusion(A, None, C, weights=[0.5, 0.25, 0.25]), expected, atol=1e-6)
    np.testing.assert_allclose(late_fusion(A, None, C, weights=[0.5, 0.25]), expected, atol=1e-6)
    broken = B.at[1].set(jnp.nan)
    got = late_fusion(A, broken, C, weights=weights, masks={"text": jnp.array([True, False, True])})
    np.testing.assert_allclose(got[1], expected[1], atol=1e-6)
    np.testing.assert_allclose(got[0], (2 * a + b + c)[0] / 4, atol=1e-6)
    nothing = late_fusion(A, B, masks={name: jnp.array([True, False, True]) for name in ("image", "text")})
    assert not nothing[1].any() and jnp.isfinite(nothing).all()


def test_late_takes_names_compiles_and_has_gradients_at_zero():
    whole = late_fusion(A, B, C, weights={"image": 1, "text": 2, "audio": 3, "video": 4}, video=A + B)
    named = late_fusion(image=A, text_embedding=B, audio=C, video=A + B, weights=[1, 2, 3, 4])
    np.testing.assert_allclose(named, whole, atol=1e-6)
    compiled = jax.jit(lambda w: late_fusion(A, B, C, weights=w))
    np.testing.assert_allclose(compiled(jnp.array([1.0, 2, 3])), late_fusion(A, B, C, weights=[1, 2, 3]), atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(late_fusion(x, B, C)))(jnp.zeros_like(A))
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: late_fusion(A, B, C, mode="wieghted"), "Did you mean 'weighted'"),
        (lambda: late_fusion(A, B, C, weights=[1, 2]), "2 weights for the 3 modalities"),
        (lambda: late_fusion(A, B, C, weights={"image": 1, "text": 1}), "no weight for audio"),
        (lambda: late_fusion(A, B, weights={"image": 1, "txt": 1}), "Did you mean 'text'"),
        (lambda: late_fusion(A, B, C, weights=[-1, 1, 1]), "finite ones of 0 or more"),
        (lambda: late_fusion(A, B, C, weights=[0, 0, 0]), "not all 0"),
        (lambda: late_fusion(A, B, C, "mean", [1, 1, 1]), 'go with mode="weighted"'),
        (lambda: late_fusion(A, B[:, :5], C), "different widths"),
        (lambda: late_fusion(A, B[0], C), "one sample beside a batch"),
        (lambda: late_fusion(A[:2], B, C), "numbers of rows differ"),
        (lambda: late_fusion(A, B, image=C), "given twice"),
        (lambda: late_fusion(), "nothing to fuse"),
        (lambda: late_fusion(A, masks={"image": jnp.ones(3)}), "where a bool is needed"),
        (lambda: late_fusion(A, masks={"image": jnp.ones(2, bool)}), "shape"),
        (lambda: late_fusion(A, masks={"pictures": jnp.ones(3, bool)}), "no modality here"),
    ],
)
def test_late_what_does_not_fit_is_an_error(call, words):
    with pytest.raises((ValueError, UnknownName), match=words):
        call()
