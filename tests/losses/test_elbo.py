"""The evidence bound: sums that one can reckon by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import Divergence, Elbo

OUTPUTS = {
    "a/nats": jnp.array([[10.0, 20.0], [30.0, jnp.nan], [1.0, 1.0]]),
    "a/share": jnp.array([[0.5, 0.5], [0.5, 0.0], [0.5, 0.5]]),
    "b/nats": jnp.array([[4.0, 8.0], [jnp.nan, jnp.nan], [1.0, 1.0]]),
    "b/share": jnp.full((3, 2), 0.5),
    "joint/kl": jnp.array([[2.0, 6.0], [0.5, 4.0], [3.0, 3.0]]),
    "joint/share": jnp.full((3, 2), 0.5),
}
BATCH = {"a/here": jnp.array([True, True, False]), "b/here": jnp.array([True, False, False])}


def test_parts_are_weighed_and_what_is_absent_or_not_chosen_has_no_part():
    values, counts = Elbo(("a", "b"))(OUTPUTS, BATCH)
    np.testing.assert_allclose(values, [15 + 6 + 4, 15 + 2.25, 0])
    assert counts.tolist() == [True, True, False]
    values, _ = Elbo(("a", "b"), beta=0.1, free=3.0, weights=(1.0, 0.5))(OUTPUTS, BATCH)
    np.testing.assert_allclose(values, [15 + 3 + 0.45, 15 + 0.35, 0], rtol=1e-6)
    values, counts = Divergence(given=("a", "b"), free=1.0)(OUTPUTS, BATCH)
    np.testing.assert_allclose(values, [4, 2.5, 0])
    assert counts.tolist() == [True, True, False]


@pytest.mark.parametrize("dials", [{"fields": ()}, {"fields": ("a",), "weights": (1.0, 2.0)}, {"fields": ("a",), "beta": -1.0}])
def test_what_is_no_bound_is_refused(dials):
    with pytest.raises(ValueError, match="expected"):
        Elbo(**dials)
