"""Norms: lengths, zeros, and gradients at zero."""

import jax
import jax.numpy as jnp
import numpy as np

from sensorium.nn.norms import rms_norm, unit


def test_rms_norm_makes_the_mean_square_one():
    x = jnp.array([[3.0, 4.0], [-1.0, 0.0], [1e-4, 1e-4]])
    got = np.asarray(jax.jit(rms_norm)(x))
    np.testing.assert_allclose(got[0], np.array([3, 4]) / np.sqrt(12.5), rtol=1e-6)
    np.testing.assert_allclose(got[1], [-np.sqrt(2), 0], rtol=1e-5)
    np.testing.assert_allclose(got[2], 1e-4 / np.sqrt(1e-8 + 1e-6), rtol=1e-5)  # eps, of 1e-6, counts for so small ones


def test_unit_has_length_one_and_keeps_the_direction():
    x = jnp.array([[3.0, 4.0], [-30.0, 40.0], [1e-5, 0.0]])
    np.testing.assert_allclose(jax.jit(unit)(x), [[0.6, 0.8], [-0.6, 0.8], [1, 0]], rtol=1e-5)


def test_zero_stays_zero_with_a_finite_gradient():
    zero = jnp.zeros((2, 3))
    for norm in (unit, rms_norm):
        assert not jax.jit(norm)(zero).any()
        assert jnp.isfinite(jax.jit(jax.jacobian(norm))(zero)).all()


def test_the_gradient_of_unit_is_at_right_angles_to_it():
    x = jnp.array([3.0, 4.0])
    np.testing.assert_allclose(jax.jit(jax.jacobian(unit))(x), (np.eye(2) - np.outer([0.6, 0.8], [0.6, 0.8])) / 5, atol=1e-6)
