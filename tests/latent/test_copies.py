"""Noisy copies of a latent: of the promised correlation, independent of each other, and mixtures of all dimensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.latent.copies import DIMENSIONS, check, copies, rotation

Z = jax.random.normal(jax.random.key(1), (4000, DIMENSIONS))
KEY = jax.random.key(2)


def correlation(a, b) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def test_the_rotation_is_orthonormal_and_every_coordinate_hears_of_every_dimension():
    turn = rotation().astype(np.float64)
    np.testing.assert_allclose(turn @ turn.T, np.eye(DIMENSIONS), atol=1e-6)
    assert np.abs(turn).min() > 1e-3


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("strength", [0.0, 0.3, 0.8, 1.0])
def test_a_copy_correlates_by_the_strength_and_two_by_its_square(strength, keyed):
    key = KEY if keyed else None
    truth = Z @ rotation().T
    one, other = copies(Z, strength, "image", key), copies(Z, strength, "audio", key)
    assert correlation(one, truth) == pytest.approx(strength, abs=0.01)
    assert correlation(one, other) == pytest.approx(strength**2, abs=0.01)
    assert float(jnp.std(one)) == pytest.approx(1, abs=0.01)
    if strength == 1:
        np.testing.assert_array_equal(one, other)


def test_the_noise_of_samples_is_independent_and_drawn_by_the_key_or_by_the_bits_of_the_latent():
    for key in (KEY, None):
        noise = np.asarray(copies(Z, 0.0, "image", key))
        cosines = noise[1:] @ noise[0] / (np.linalg.norm(noise[1:], axis=1) * np.linalg.norm(noise[0]))
        assert np.abs(cosines).max() < 0.8, "no two samples have one noise"
        assert abs(correlation(noise[1:], noise[:-1])) < 0.01
    bits = copies(Z, 0.0, "image")
    np.testing.assert_allclose(bits[7], copies(Z[7], 0.0, "image"), atol=1e-5, err_msg="alone as in a batch")
    near = copies(Z[7] * (1 + 1e-6), 0.0, "image")
    assert abs(correlation(bits[7], near)) < 0.7, "the last bit makes other noise"
    assert not np.array_equal(copies(Z, 0.5, "image", KEY), copies(Z, 0.5, "image", jax.random.key(3)))


def test_it_compiles_with_a_strength_that_is_not_known():
    compiled = jax.jit(lambda z, a: copies(z, a, "text"))
    np.testing.assert_allclose(compiled(Z[:3], 0.4), copies(Z[:3], 0.4, "text"), atol=1e-6)


def test_a_latent_of_another_length_and_a_strength_out_of_range_are_errors():
    with pytest.raises(ValueError, match=r"shape \(31,\): expected \(32,\)"):
        check(np.zeros(31), 0.5)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 32\)"):
        check(np.zeros((1, 1, 32)), 0.5)
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="from 0"):
            check(np.zeros(32), strength)
