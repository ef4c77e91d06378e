"""Corruption: what is said of noisy data leads back to the data and to the noise, at every time and for every schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium import diffusion
from sensorium.core.errors import UnknownName

SCHEDULES = [diffusion.Rectified(), diffusion.Cosine(), diffusion.LinearBeta(), diffusion.Betas()]
numbers = st.floats(-3, 3, width=32)


@jax.jit
def _around(x, noise, t):
    """The data and the noise that come back, for every schedule and kind."""
    found = []
    for schedule in SCHEDULES:
        seen = diffusion.corrupt(schedule, x, noise, t)
        for kind in diffusion.KINDS.values():
            said = kind.aim(schedule, x, noise, t)
            found.append((kind.to_x0(schedule, said, seen, t), kind.to_noise(schedule, said, seen, t)))
    return jax.tree.map(lambda *each: jnp.stack(each), *found)


@given(numbers, numbers, st.floats(0.015625, 0.75, width=32))
def test_data_and_noise_come_back_from_what_is_said(x, noise, t):
    x0, eps = _around(*(jnp.full(shape, value, jnp.float32) for shape, value in (((2, 1, 3), x), ((2, 1, 3), noise), (2, t))))
    assert x0.shape == (len(SCHEDULES) * len(diffusion.KINDS), 2, 1, 3)
    np.testing.assert_allclose(x0, x, atol=2e-3)
    np.testing.assert_allclose(eps, noise, atol=2e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_at_both_ends_everything_is_finite_and_what_can_be_known_is(schedule):
    x, noise, t = jnp.asarray([[2.0], [2.0]]), jnp.asarray([[-1.0], [-1.0]]), jnp.asarray([0.0, 1.0])
    seen = diffusion.corrupt(schedule, x, noise, t)
    np.testing.assert_allclose(seen, [[2.0], [float(schedule.alpha(t)[1]) * 2 - float(schedule.sigma(t)[1])]], rtol=1e-6)
    for name, kind in diffusion.KINDS.items():
        said = kind.aim(schedule, x, noise, t)
        x0, eps = kind.to_x0(schedule, said, seen, t), kind.to_noise(schedule, said, seen, t)
        assert np.all(np.isfinite(x0)) and np.all(np.isfinite(eps))
        if name in ("v", "velocity"):
            np.testing.assert_allclose(x0, x, atol=1e-5)
            np.testing.assert_allclose(eps, noise, atol=1e-5)
        if name == "x0":
            assert eps[0, 0] == 0  # nothing of the noise is there to be read
        if name == "eps" and schedule.alpha(t)[1] == 0:
            assert x0[1, 0] == 0


def test_each_row_has_its_own_time_and_the_line_of_rectified_flow_is_straight():
    flow, t = diffusion.Rectified(), jnp.asarray([0.0, 0.25, 1.0])
    x, noise = jnp.ones((3, 2, 2)), jnp.full((3, 2, 2), -3.0)
    np.testing.assert_allclose(diffusion.corrupt(flow, x, noise, t)[:, 0, 0], [1.0, 0.0, -3.0])
    np.testing.assert_array_equal(diffusion.KINDS["velocity"].aim(flow, x, noise, t), np.full((3, 2, 2), -4.0))


def test_an_unknown_kind_is_an_error():
    with pytest.raises(UnknownName, match=r"no kind of prediction is called 'epsilon'.* Known: eps, v, velocity, x0"):
        _ = diffusion.KINDS["epsilon"]
