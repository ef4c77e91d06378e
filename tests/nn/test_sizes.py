"""Sizes that must be whole numbers, and rows laid flat."""

import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.nn.sizes import check_heads, flat, whole


def test_a_whole_number_is_an_int_and_nothing_else_is_one():
    for number in (3, np.int64(3), jnp.int32(3)):
        assert whole("n", number) == 3 and type(whole("n", number)) is int
    assert whole("n", 0, least=0) == 0
    for number in (0, -1, 3.0, "3", None):
        with pytest.raises(ValueError, match=r"n=.*: expected a whole number of 1 or more"):
            whole("n", number)
    with pytest.raises(ValueError, match="n=1: expected a whole number of 2 or more"):
        whole("n", 1, least=2)


def test_heads_divide_a_width():
    check_heads(12, 4)
    for width, heads, words in ((12, 5, "width 12 cannot be split into 5"), (12, 0, "heads=0"), (0, 1, "width=0")):
        with pytest.raises(ValueError, match=words):
            check_heads(width, heads)


def test_rows_are_laid_flat_also_where_there_are_none():
    x = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(flat(x), np.arange(24.0).reshape(2, 12))
    assert flat(x[:0]).shape == (0, 12) and flat(x[:, :0]).shape == (2, 0)
