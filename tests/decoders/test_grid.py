"""Grids from vectors: any shape, few parameters, and every output cell hears of the vector."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.decoders.grid import Expand, GridDecoder, Mix, sizes


def parameters(module: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module)))


def built(shape: tuple[int, ...], channels: int, patch: tuple[int, ...]) -> nnx.Module:
    """At full size, without its memory."""
    return nnx.eval_shape(lambda: GridDecoder(512, shape, channels, patch, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(
    ("shape", "channels", "patch"), [((37,), 2, (4,)), ((9, 30), 3, (2, 4)), ((5, 9, 8), 1, (1, 2, 2))], ids=["1-D", "2-D", "3-D"]
)
def test_every_value_of_the_grid_hears_of_the_vector(shape, channels, patch):
    decoder = GridDecoder(6, shape, channels, patch, width=8, rngs=nnx.Rngs(0))
    vectors = jax.random.normal(jax.random.key(0), (2, 6))
    made = run(decoder, vectors)
    assert made.shape == (2, *shape, channels) and np.isfinite(made).all()
    assert (np.abs(made[0] - made[1]) > 0).all()
    moved = run(decoder, vectors.at[1].add(1.0))
    np.testing.assert_array_equal(moved[0], made[0])


def test_expand_puts_each_part_of_a_patch_in_its_place():
    expand = Expand(1, 1, (2, 3), rngs=nnx.Rngs(0))
    expand.project.kernel[...] = jnp.arange(6.0)[None]
    made = run(expand, jnp.array([[[[1.0], [10.0]]]]))[0, :, :, 0]
    np.testing.assert_array_equal(made, [[0, 1, 2, 0, 10, 20], [3, 4, 5, 30, 40, 50]])


def test_mix_is_the_convolution_of_the_normed_cells():
    mix = Mix(2, 2, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (1, 4, 5, 2))
    normed = np.asarray(x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6))
    padded = np.pad(normed, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(mix.around.kernel[...]).reshape(3, 3, 2, 2)
    around = sum(padded[:, i : i + 4, j : j + 5] @ kernel[i, j] for i in range(3) for j in range(3))
    expected = x + jax.nn.gelu(jnp.asarray(around)) @ mix.down.kernel[...]
    np.testing.assert_allclose(run(mix, x), expected, atol=1e-5)


def test_sides_double_from_few_cells_and_never_more():
    assert sizes((32, 32), (4, 4)) == [(4, 4), (8, 8)]
    assert sizes((4, 90), (1, 4)) == [(4, 3), (4, 6), (4, 12), (4, 23)]
    assert sizes((160_000,), (160,)) == [(32,), (63,), (125,), (250,), (500,), (1000,)]


def test_parameters_grow_with_the_logarithm_of_the_output():
    """The sample code's last layer: 12.6 M weights at 64², 201 M at 256²; 16.4 M for a second of sound, 164 M for ten."""
    counts = [parameters(built((side, side), 3, (4, 4))) for side in (64, 128, 256, 512)]
    assert counts[2] < 2_000_000
    assert len({b - a for a, b in pairwise(counts[1:])}) == 1 and counts[-1] < 1.1 * counts[0]
    assert parameters(built((160_000,), 1, (160,))) < 1.5 * parameters(built((16_000,), 1, (160,))) < 3_000_000


@pytest.mark.parametrize(("shape", "patch"), [((8, 8), (4,)), ((2, 2, 2, 2), (1, 1, 1, 1)), ((8, 0), (4, 4))])
def test_what_is_no_grid_is_refused(shape, patch):
    with pytest.raises(ValueError, match="expected as many numbers in both, 1 to 3"):
        GridDecoder(4, shape, 1, patch, rngs=nnx.Rngs(0))


def test_a_vector_of_zeros_has_finite_gradients():
    decoder = GridDecoder(3, (9,), 1, (2,), width=4, rngs=nnx.Rngs(0))
    graph, state = nnx.split(decoder)
    loss = jax.jit(jax.grad(lambda state, x: jnp.sum(nnx.merge(graph, state)(x)), argnums=(0, 1)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loss(state, jnp.zeros((1, 3)))))


def test_a_chain_of_linear_maps_runs_past_the_convolutions():
    """Residual: with the convolutions silent the decoder still decodes, and is linear."""
    decoder = GridDecoder(4, (64, 64), 1, (4, 4), width=8, rngs=nnx.Rngs(0))
    for mix in decoder.mix:
        mix.down.kernel[...] *= 0.0
    a, b = jax.random.normal(jax.random.key(0), (2, 4))
    made = run(decoder, jnp.stack([a, b, a + b, jnp.zeros(4)]))
    np.testing.assert_allclose(made[0] + made[1], made[2] + made[3], atol=1e-5)
    assert np.abs(made[0] - made[1]).max() > 1e-3
