"""The schedule, and what decays."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sensorium.training import adamw

PARAMETERS = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(())}


def updates(optimizer: optax.GradientTransformation, steps: int, gradient: float) -> list[dict]:
    state, out = optimizer.init(PARAMETERS), []
    gradients = {key: jnp.full_like(value, gradient) for key, value in PARAMETERS.items()}
    for _ in range(steps):
        change, state = optimizer.update(gradients, state, PARAMETERS)
        out.append({key: float(np.asarray(value).reshape(-1)[0]) for key, value in dict(change).items()})  # pyright: ignore[reportArgumentType, reportCallIssue]
    return out


@pytest.fixture(autouse=True)
def promotion():
    import jax

    with jax.numpy_dtype_promotion("standard"):
        yield


def test_the_rate_rises_to_its_highest_and_falls_to_a_hundredth():
    rates = [-change["bias"] for change in updates(adamw(0.5, 20, warmup=4), 21, 1.0)]  # Adam's step for a constant gradient
    np.testing.assert_allclose(rates[:5], [0, 0.125, 0.25, 0.375, 0.5], rtol=1e-4)
    assert (np.diff(rates[4:]) < 0).all()
    assert rates[20] == pytest.approx(0.005, rel=1e-3)
    assert rates[12] == pytest.approx((0.5 + 0.005) / 2, rel=1e-3), "half way down the cosine"


def test_only_matrices_decay():
    change = updates(adamw(0.5, 20, warmup=1, weight_decay=0.1), 2, 0.0)[1]
    assert change["kernel"] == pytest.approx(-0.05, rel=1e-4) and change["bias"] == change["scale"] == 0
