"""Batches: rows that agree, presence, parts of fields, stacking and padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.batch import here, pad, size, stack


def batch(rows: int = 3) -> dict[str, np.ndarray]:
    return {
        "image": np.arange(rows * 4).reshape(rows, 2, 2),
        "text": np.arange(rows * 2, dtype=np.int32).reshape(rows, 2),
        "text/mask": np.ones((rows, 2), bool),
        "text/here": np.arange(rows) % 2 == 0,
        "textile": np.zeros(rows),
        "group": np.arange(rows),
    }


def test_size_counts_rows_and_tells_the_shapes_that_disagree():
    assert size(batch(3)) == 3
    with pytest.raises(ValueError, match=r"'image': \(3, 2, 2\), .*'group': \(4,\)"):
        size(batch(3) | {"group": np.arange(4)})


def test_here_is_every_row_of_a_field_without_a_mask_and_the_common_rows_of_several():
    x = batch(4) | {"audio/here": np.array([True, True, False, False])}
    assert here(x, "image").tolist() == [True] * 4
    assert here(x, "text").tolist() == [True, False, True, False]
    assert here(x, "image", "text", "audio").tolist() == [True, False, False, False]
    assert here(x).tolist() == [True] * 4


@given(st.integers(1, 5), st.integers(0, 5))
def test_padding_repeats_the_first_row_and_keeps_the_others(rows, more):
    x = batch(rows)
    padded = pad(x, rows + more)
    assert size(padded) == rows + more
    for key, value in x.items():
        np.testing.assert_array_equal(padded[key][:rows], value)
        assert padded[key].dtype == value.dtype
        for row in padded[key][rows:]:
            np.testing.assert_array_equal(row, value[0])


def test_padding_never_cuts():
    with pytest.raises(ValueError):
        pad(batch(3), 2)


def test_stack_is_the_inverse_of_taking_rows():
    x = batch(3)
    again = stack([{key: value[row] for key, value in x.items()} for row in range(3)])
    for key, value in x.items():
        np.testing.assert_array_equal(again[key], value)


def test_stack_refuses_rows_of_other_keys_or_shapes():
    for odd in ({"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(2), "c": np.zeros(2)}):
        with pytest.raises(ValueError, match=r"rows differ in what they hold: \['a', 'b'\] and"):
            stack([{"a": np.zeros(2), "b": np.zeros(2)}, odd])
    with pytest.raises(ValueError):
        stack([{"a": np.zeros(2)}, {"a": np.zeros(3)}])
