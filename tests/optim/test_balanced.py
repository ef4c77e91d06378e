"""A loud modality does not drown a quiet one, and one that is silent counts nowhere."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from sensorium.optim.balanced import balanced


def test_updates_come_nearer_to_each_other_by_hand():
    """Gradient norms 1 and 16 have the geometric mean 4: the factors are √(4 / 1) = 2 and √(4 / 16) = 0.5."""
    gradients = {
        "encoders.image.a": jnp.array([[1.0]]),
        "encoders.text.a": jnp.array([[9.6]]),
        "projections.text.b": jnp.array([12.8]),
        "encoders.audio.a": jnp.array([[0.0]]),
        "log_scale": jnp.array(3.0),
    }
    optimizer = balanced(optax.sgd(0.1), ["image", "text", "audio", "video"])
    updates: Any = optimizer.update(gradients, optimizer.init(gradients), gradients)[0]
    expected = {
        "encoders.image.a": -0.2,
        "encoders.text.a": -0.48,
        "projections.text.b": -0.64,
        "encoders.audio.a": 0,
        "log_scale": -0.3,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(updates[name]).item(), value, rtol=1e-6)
