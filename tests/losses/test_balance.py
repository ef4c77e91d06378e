"""The balanced sum: by hand, and blind to units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses.balance import balanced


def test_it_is_the_geometric_mean():
    parts = {"a": jnp.float32(4.0), "b": jnp.float32(9.0)}
    assert float(balanced(parts)) == pytest.approx(6.0, rel=1e-5)
    assert float(balanced(parts, {"b": 3.0})) == pytest.approx(4**0.25 * 9**0.75, rel=1e-5)
    assert float(balanced(parts, {"b": 0.0})) == pytest.approx(4.0, rel=1e-5)


def test_a_loss_in_other_units_moves_the_parameters_the_same_way():
    def direction(unit: float):
        slope = jax.grad(lambda x: balanced({"a": unit * jnp.sum(jnp.square(x - 1)), "b": jnp.sum(jnp.square(x + 2))}))
        g = slope(jnp.array([0.5, 3.0]))
        return g / jnp.linalg.norm(g)

    np.testing.assert_allclose(direction(1.0), direction(1e4), rtol=1e-4)


def test_a_loss_of_zero_has_a_finite_gradient():
    assert np.isfinite(jax.grad(lambda x: balanced({"a": jnp.square(x), "b": jnp.square(x - 1)}))(jnp.float32(0.0)))


@pytest.mark.parametrize(
    ("weights", "match"), [({"c": 1.0}, r"\['c'\]"), ({"a": 0.0, "b": 0.0}, "not all 0"), ({"a": -1.0}, "0 or more")]
)
def test_bad_weights_are_told(weights, match):
    with pytest.raises(ValueError, match=match):
        balanced({"a": jnp.float32(1.0), "b": jnp.float32(2.0)}, weights)
