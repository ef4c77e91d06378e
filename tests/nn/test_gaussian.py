"""Normal distributions: numbers that one can reckon by hand, and by another's densities."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from sensorium.nn.gaussian import Gaussian, divergence, mixed, mixed_log_density, moments, product, standard

MEAN, LOG_VARIANCE = jnp.array([[1.0, -2.0]]), jnp.log(jnp.array([[0.5, 3.0]]))


def test_a_product_adds_precisions_and_weighs_means_by_them():
    experts = Gaussian(jnp.array([[[3.0], [-1.0], [jnp.nan]]]), jnp.log(jnp.array([[[0.5], [0.25], [1.0]]])))
    chosen = jnp.array([[[True, True, False], [True, False, False], [False, False, False]]])
    mean, log_variance = product(experts, chosen)
    np.testing.assert_allclose(np.exp(log_variance[0, :, 0]), [1 / 7, 1 / 3, 1.0], rtol=1e-6)
    np.testing.assert_allclose(mean[0, :, 0], [(2 * 3 - 4 * 1) / 7, 2 * 3 / 3, 0.0], rtol=1e-6)


def test_an_expert_that_is_not_chosen_has_no_gradient_even_where_it_is_nan():
    def first(mean: jax.Array) -> jax.Array:
        return jnp.sum(product(Gaussian(mean, jnp.zeros((1, 2, 1))), jnp.array([[[True, False]]])).mean)

    slope = jax.grad(first)(jnp.array([[[2.0], [jnp.nan]]]))
    np.testing.assert_allclose(slope[0, :, 0], [0.5, 0.0])


def test_densities_and_divergences_are_those_of_scipy():
    g, x = Gaussian(MEAN, LOG_VARIANCE), jnp.array([[0.3, 1.0]])
    mean, deviation = np.asarray(MEAN), np.exp(0.5 * np.asarray(LOG_VARIANCE))
    np.testing.assert_allclose(g.log_density(x), stats.norm.logpdf(np.asarray(x), mean, deviation).sum(1), rtol=1e-5)
    grid = np.linspace(-40, 40, 400_001)[:, None]
    log_p = stats.norm.logpdf(grid, mean, deviation)
    ratio = np.exp(log_p) * (log_p - stats.norm.logpdf(grid))
    np.testing.assert_allclose(divergence(g), [np.trapezoid(ratio, grid, axis=0).sum()], rtol=1e-4)
    assert divergence(standard((3, 2))).tolist() == [0.0] * 3


def test_a_mixture_has_the_moments_and_the_density_of_its_parts():
    parts = Gaussian(jnp.array([[[0.0], [4.0], [9.0]]]), jnp.log(jnp.array([[[1.0], [0.25], [1.0]]])))
    weights = jnp.array([[0.75, 0.25, 0.0]])
    mean, log_variance = moments(parts, weights)
    np.testing.assert_allclose([mean[0, 0], np.exp(log_variance[0, 0])], [1.0, 0.75 * 2 + 0.25 * (0.25 + 9)], rtol=1e-6)
    drawn = jax.jit(jax.vmap(lambda key: mixed(parts, weights, key)))(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose([drawn.mean(), drawn.var()], [1.0, 3.8125], rtol=0.03)
    x = jnp.array([[2.5]])
    expected = np.log(0.75 * stats.norm.pdf(2.5) + 0.25 * stats.norm.pdf(2.5, 4, 0.5))
    np.testing.assert_allclose(mixed_log_density(parts, weights, x), [expected], rtol=1e-5)
