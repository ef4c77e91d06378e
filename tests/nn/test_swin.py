"""Windows of a grid: how they are cut and joined, which places of one are neighbours, which entry of the table a pair has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.nn.swin import APART, PatchMerging, SwinLayer, apart, cut, joined, nearness


def test_windows_are_cut_row_by_row_and_put_together_again():
    grid = jnp.arange(2 * 4 * 6).reshape(2, 4, 6, 1).astype(jnp.float32)
    windows = cut(grid, 2)
    np.testing.assert_array_equal(windows[0, :2, :, 0], [[0, 1, 6, 7], [2, 3, 8, 9]])
    np.testing.assert_array_equal(windows[0, 3, :, 0], [12, 13, 18, 19])
    np.testing.assert_array_equal(joined(windows, 2), grid)


def test_only_places_that_were_neighbours_before_the_shift_see_each_other():
    """A grid of 4×4, rolled by 1: of the last window, each place comes from another corner."""
    mask = apart(4, 4, 2, 1)
    assert not mask[0].any(), "the first window lies within the grid"
    np.testing.assert_array_equal(mask[3], APART * (1 - np.eye(4)))
    np.testing.assert_array_equal(mask[1][0], [0, APART, 0, APART])  # left and right of the edge
    assert not apart(4, 4, 2, 0).any()


def test_pairs_at_equal_distance_share_an_entry():
    table = nearness(3)
    assert table[0, 0] == table[8, 8] == 12 and len(np.unique(table)) == 25
    assert table[0, 1] == table[3, 4] != table[1, 0], "to the right is not to the left"
    assert (table[0, 8], table[8, 0]) == (0, 24)


def test_a_shifted_layer_carries_over_the_edges_of_windows_and_an_unshifted_one_does_not():
    grid = jax.random.normal(jax.random.key(0), (1, 5, 6, 4))
    changed = grid.at[0, 0, 0, 0].add(1.0)

    @jax.jit
    def both(x):
        return [SwinLayer(4, 2, 6, 3, shift, rngs=nnx.Rngs(0))(x)[0] for shift in (0, 1)]

    reached = []
    for before, after in zip(both(grid), both(changed), strict=True):
        moved = np.nonzero(np.abs(after - before).max(-1) > 1e-6)
        reached.append({(int(row), int(column)) for row, column in zip(*moved, strict=True)})
    assert reached[0] == {(row, column) for row in range(3) for column in range(3)}
    assert reached[1] == {(0, 0)}, "its neighbours in the rolled grid come from the other edges"


def test_merging_rounds_up_and_a_grid_smaller_than_a_window_is_told():
    merged = jax.eval_shape(lambda: PatchMerging(4, rngs=nnx.Rngs(0))(jnp.ones((1, 5, 6, 4))))
    assert merged.shape == (1, 3, 3, 8)
    with pytest.raises(ValueError, match="a grid of 2×6, where windows are 3×3"):
        SwinLayer(4, 2, 6, 3, 1, rngs=nnx.Rngs(0))(jnp.ones((1, 2, 6, 4)))
