"""Cross-entropy of words: by hand, against a loop, and blind to what is not there."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import Captioning, InfoNCE, mean, next_token, total

rows_of = jax.jit(next_token, static_argnums=3)


def example() -> tuple[jax.Array, jax.Array, jax.Array]:
    logits = jax.random.normal(jax.random.key(0), (3, 4, 5))
    text = jnp.array([[2, 3, 1, 0], [4, 1, 0, 0], [0, 0, 0, 0]])
    return logits, text, text != 0


def test_two_words_by_hand():
    """Logits (ln 3, 0) give 3/4 and 1/4; the row is the mean of −ln 3/4 and −ln 1/4, whatever the third place holds."""
    logits = jnp.array([[[math.log(3.0), 0.0], [math.log(3.0), 0.0], [9.0, -9.0]]])
    values, counts = rows_of(logits, jnp.array([[0, 1, 1]]), jnp.array([[True, True, False]]), 0.0)
    np.testing.assert_allclose(values, [(math.log(4 / 3) + math.log(4)) / 2], rtol=1e-6)
    assert counts.all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_the_definition_and_rows_without_words_do_not_count(smoothing):
    logits, text, mask = example()
    values, counts = rows_of(logits, text, mask, smoothing)
    p = np.exp(np.asarray(logits, np.float64))
    p /= p.sum(-1, keepdims=True)
    expected = []
    for row in range(2):
        each = [
            -(1 - smoothing) * math.log(p[row, i, text[row, i]]) - smoothing * np.log(p[row, i]).mean()
            for i in np.flatnonzero(mask[row])
        ]
        expected.append(np.mean(each))
    np.testing.assert_allclose(values, [*expected, 0.0], rtol=1e-5)
    assert counts.tolist() == [True, True, False]


def test_what_stands_at_masked_places_has_no_effect_and_no_gradient_even_if_it_is_nan():
    logits, text, mask = example()

    def loss(logits):
        return mean(next_token(logits, text, mask))

    plain, gradient = jax.value_and_grad(jax.jit(loss))(logits)
    broken, gradient_of_broken = jax.value_and_grad(jax.jit(loss))(jnp.where(mask[:, :, None], logits, jnp.nan))
    assert plain == broken
    np.testing.assert_array_equal(gradient, gradient_of_broken)
    assert not np.asarray(gradient)[~np.asarray(mask)].any() and np.asarray(gradient)[np.asarray(mask)].any(-1).all()


def test_an_id_outside_of_the_vocabulary_is_seen():
    logits, text, mask = example()
    for wrong in (5, -1):
        values, _ = rows_of(logits, text.at[0, 1].set(wrong), mask, 0.0)
        assert jnp.isnan(values[0]) and jnp.isfinite(values[1:]).all()


def test_as_a_loss_it_reads_ids_mask_and_what_is_told_about():
    logits, text, _ = example()
    mask = jnp.array([[True, True, True, False], [True, True, False, False], [True, True, True, True]])
    outputs, batch = {"text/logits": logits}, {"text": text, "text/mask": mask, "image/here": jnp.array([True, False, True])}
    plain, expected = Captioning("text")(outputs, batch), next_token(logits, text, mask)
    assert (plain.values == expected.values).all() and plain.counts.all()
    told = Captioning("text", ("image",))(outputs, batch)
    assert told.counts.tolist() == [True, False, True] and told.values[0] == expected.values[0] and told.values[1] == 0
    unmasked = Captioning("text", smoothing=0.1)(outputs, {"text": text}).values
    np.testing.assert_allclose(unmasked, next_token(logits, text, jnp.ones((3, 4), bool), 0.1).values)
    with pytest.raises(ValueError, match="smoothing=1"):
        Captioning("text", smoothing=1.0)


def test_a_row_whose_words_nothing_was_known_of_does_not_count():
    logits, text, mask = example()
    outputs, batch = {"a/logits": logits}, {"a": text, "a/mask": mask}
    known = outputs | {"a/known": jnp.asarray([False, True, True])}
    assert Captioning("a")(outputs, batch).counts.tolist() == [True, True, False]
    assert Captioning("a")(known, batch).counts.tolist() == [False, True, False]


def test_beside_a_contrast_it_is_coca():
    logits, text, mask = example()
    units = {f"{name}/unit": jax.random.normal(jax.random.key(i), (3, 4)) for i, name in enumerate(("image", "text"))}
    outputs = {**units, "text/logits": logits, "scale": jnp.float32(2.0)}
    losses = {"contrast": (1.0, InfoNCE("image", "text")), "caption": (2.0, Captioning("text", ("image",)))}
    value, parts = total(losses, outputs, {"text": text, "text/mask": mask})
    assert value == pytest.approx(float(parts["contrast"] + 2 * parts["caption"]), rel=1e-6)
    assert parts["caption"] == pytest.approx(float(mean(next_token(logits, text, mask))), rel=1e-6)
