"""Patches: every grid comes back as it was, and each patch is what lies at its place."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.decoders.patches import cells, cut, joined

SIDES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3)


@settings(max_examples=15)
@given(SIDES, st.integers(1, 3), st.integers(1, 2))
def test_joined_undoes_cut_on_one_two_and_three_axes(sides, channels, rows):
    patch = tuple(p for _, p in sides)
    x = np.arange(rows * channels * np.prod([n * p for n, p in sides]), dtype=np.float32)
    x = jnp.asarray(x.reshape(rows, *(n * p for n, p in sides), channels))
    flat = cut(x, patch)
    assert flat.shape == (rows, np.prod([n for n, _ in sides]), np.prod(patch) * channels)
    assert (joined(flat, cells(x.shape[1:-1], patch), patch) == x).all()


def test_a_patch_is_what_lies_at_its_place_row_by_row():
    x = jnp.arange(24, dtype=jnp.float32).reshape(1, 4, 6, 1)
    flat = cut(x, (2, 3))
    np.testing.assert_array_equal(
        flat[0], [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11], [12, 13, 14, 18, 19, 20], [15, 16, 17, 21, 22, 23]]
    )


@pytest.mark.parametrize(
    ("shape", "patch", "told"), [((4, 6), (2,), "as many"), ((4, 6), (3, 3), "multiple"), ((1, 1, 1, 1), (1, 1, 1, 1), "1 to 3")]
)
def test_patches_that_do_not_fill_the_grid_are_an_error(shape, patch, told):
    with pytest.raises(ValueError, match=told):
        cells(shape, patch)
