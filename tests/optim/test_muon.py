"""Muon's direction is that of optax, and singular values come near 1."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax.contrib
import pytest

from sensorium.optim.muon import momentum_made_orthogonal, orthogonal

AXES = optax.contrib.MuonDimensionNumbers()


def test_three_updates_are_those_of_optax():
    random = np.random.default_rng(0)
    shapes = {"wide": (6, 20), "long": (33, 8), "square": (12, 12)}
    gradients = [{k: jnp.asarray(random.normal(size=s), jnp.float32) for k, s in shapes.items()} for _ in range(3)]
    theirs = optax.contrib.scale_by_muon(weight_dimension_numbers=lambda tree: jax.tree.map(lambda _: AXES, tree))
    ours = momentum_made_orthogonal()
    a, b = theirs.init(gradients[0]), ours.init(gradients[0])
    for gradient in gradients:
        expected: Any
        found: Any
        with jax.numpy_dtype_promotion("standard"):
            expected, a = theirs.update(gradient, a)
        found, b = ours.update(gradient, b)
        for name in shapes:
            np.testing.assert_allclose(found[name], expected[name], atol=2e-5)


@pytest.mark.parametrize("shape", [(5, 9), (40, 7)])
def test_singular_values_come_near_1_and_those_of_0_stay(shape):
    random = np.random.default_rng(1)
    x = random.normal(size=(shape[0], 3)) @ random.normal(size=(3, shape[1]))  # of rank 3
    made = np.asarray(orthogonal(jnp.asarray(x, jnp.float32)))
    values = np.linalg.svd(made, compute_uv=False)
    assert (np.abs(values[:3] - 1) < 0.35).all() and (values[3:] < 1e-3).all(), values
    left, _, right = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(left[:, :3] @ left[:, :3].T @ made @ right[:3].T @ right[:3], made, atol=1e-3)  # in its own spaces
