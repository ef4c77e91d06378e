"""The convolutional encoder: what the contract of encoders does not ask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.encoders import ConvNet
from sensorium.encoders.convnet import flattened


def pooled(encoder: ConvNet, x: jax.Array) -> np.ndarray:
    graph, state = nnx.split(encoder)
    return np.asarray(jax.jit(lambda state, x: nnx.merge(graph, state)(x).pooled)(state, x))


def test_bytes_are_read_as_minus_one_to_one():
    encoder, x = ConvNet.tiny(nnx.Rngs(0))
    np.testing.assert_allclose(
        pooled(encoder, x), pooled(encoder, jnp.asarray(np.asarray(x) / 127.5 - 1, jnp.float32)), atol=1e-5
    )


def test_an_odd_grid_is_halved_upwards():
    encoder = ConvNet(20, widths=(4, 6, 8), rngs=nnx.Rngs(0))  # 5×5 patches, 3×3, 2×2
    assert encoder.pooled_width == 2 * 2 * 8
    assert pooled(encoder, jnp.zeros((2, 20, 20, 3))).shape == (2, 32)


def test_flattened_keeps_places_apart_and_norms_each():
    grid = jnp.arange(1.0, 13.0).reshape(1, 2, 3, 2)
    tokens, mask, flat = flattened(grid)
    expected = np.asarray(grid).reshape(6, 2)
    expected = expected / np.sqrt((expected**2).mean(1, keepdims=True))
    np.testing.assert_allclose(tokens[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(flat[0], tokens[0].reshape(-1))
    assert mask.shape == (1, 6) and mask.all()


def test_the_trunk_is_residual_at_its_end():
    encoder, x = ConvNet.tiny(nnx.Rngs(0))
    refine = encoder.trunk.refine.project
    assert refine.bias is not None
    for part in (refine.kernel, refine.bias):
        part[...] = jnp.zeros_like(part[...])
    seen = jnp.asarray(np.asarray(x) / 127.5 - 1, jnp.float32)
    assert np.abs(run(encoder.trunk, seen)).max() > 0.1, "without the last convolution there is still what comes before it"


def test_a_picture_may_be_wider_than_high():
    encoder = ConvNet((8, 20), widths=(4, 6), rngs=nnx.Rngs(0))  # 2×5 patches, 1×3 cells
    assert encoder.pooled_width == 1 * 3 * 6
    x = jax.random.uniform(jax.random.key(0), (2, 8, 20, 3))
    before = pooled(encoder, x)
    assert before.shape == (2, 18)
    changed = np.abs(pooled(encoder, x.at[:, :, :4].set(-1.0)) - before).reshape(2, 3, 6).max((0, 2))
    assert changed[0] > 0.1 and changed[2] < 1e-6, "the left of the picture is the left of the grid"
    with pytest.raises(ValueError, match=r"\(20, 8, 3\), where this encoder was built for \(8, 20, 3\)"):
        encoder(x.transpose(0, 2, 1, 3))
