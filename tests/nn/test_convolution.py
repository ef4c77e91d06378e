"""Convolutions and patches against what they replace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.nn.convolution import Convolution, Patches


def randomised(layer: nnx.Linear) -> tuple[jax.Array, jax.Array]:
    """Its kernel and its bias, which is made other than zero, so that leaving it out would be seen."""
    bias = layer.bias
    assert bias is not None
    bias[...] = jax.random.normal(jax.random.key(9), bias.shape)
    return layer.kernel[...], bias[...]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("grid", [(6, 8), (5, 7), (1, 4)])
def test_a_convolution_is_xlas(stride, grid):
    module = Convolution(3, 4, stride, rngs=nnx.Rngs(0))
    kernel, bias = randomised(module.project)
    x = jax.random.normal(jax.random.key(1), (2, *grid, 3))
    kernel = kernel.reshape(3, 3, 3, 4)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(run(module, x), np.asarray(expected) + np.asarray(bias), atol=1e-5)


def test_patches_are_cut_and_projected_one_by_one():
    module = Patches((2, 3), 2, 5, rngs=nnx.Rngs(0))
    kernel, bias = randomised(module.project)
    x = np.asarray(jax.random.normal(jax.random.key(1), (2, 4, 9, 2)))
    got = run(module, jnp.asarray(x))
    assert got.shape == (2, 2, 3, 5)
    for b, i, j in np.ndindex(2, 2, 3):
        piece = x[b, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].reshape(-1)
        np.testing.assert_allclose(got[b, i, j], piece @ np.asarray(kernel) + np.asarray(bias), atol=1e-5)


@pytest.mark.parametrize("grid", [(5, 9), (4, 8)])
def test_a_remainder_is_an_error(grid):
    with pytest.raises(ValueError, match=f"{grid[0]}×{grid[1]} cannot be cut into patches of 2×3"):
        Patches((2, 3), 1, 4, rngs=nnx.Rngs(0))(jnp.zeros((1, *grid, 1)))
