"""The error of a denoiser, and of its sketch, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import Denoise, Outline

OUTPUTS = {
    "a/said": jnp.asarray([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0], [jnp.nan, 1.0]]),
    "a/wanted": jnp.asarray([[0.0, 1.0], [4.0, 0.0], [2.0, 0.0], [1.0, 1.0]]),
    "a/weight": jnp.asarray([2.0, 0.5, 1.0, 1.0]),
    "a/sketch": jnp.asarray([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [5.0, 0.0]]),
    "a/clean": jnp.asarray([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]),
}
BATCH = {"a": jnp.zeros((4, 2)), "a/here": jnp.asarray([True, True, True, False])}


def test_it_is_the_mean_square_times_the_weight_of_the_row():
    values, counts = Denoise("a")(OUTPUTS, BATCH)
    np.testing.assert_allclose(values, [2 * (1 + 4) / 2, 0.5 * 16 / 2, 4 / 2, 0.0])
    assert counts.tolist() == [True, True, True, False]


def test_the_outline_has_no_weight():
    values, _ = Outline("a")(OUTPUTS, BATCH)
    np.testing.assert_allclose(values, [0.5, 2.0, 0.0, 0.0])


def test_a_row_counts_where_all_is_there_that_it_is_given():
    batch = BATCH | {"b/here": jnp.asarray([False, True, True, True])}
    assert Denoise("a", ("b",))(OUTPUTS, batch).counts.tolist() == [False, True, True, False]
    known = OUTPUTS | {"a/known": jnp.asarray([True, True, False, True])}
    values, counts = Denoise("a", ("b",))(known, batch)
    assert counts.tolist() == [False, True, False, False] and values.tolist() == [0.0, 4.0, 0.0, 0.0]


def test_rows_that_no_noise_was_put_on_do_not_count():
    """K = 2 of 4 rows, the last and the second: what is said stands in that order."""
    some = OUTPUTS | {name: OUTPUTS[name][jnp.asarray([3, 1])] for name in ("a/said", "a/wanted", "a/weight")}
    found = Denoise("a")(some | {"a/rows": jnp.asarray([3, 1])}, BATCH)
    whole = Denoise("a")(OUTPUTS, BATCH)
    assert found.counts.tolist() == [False, bool(whole.counts[1]), False, bool(whole.counts[3])]
    np.testing.assert_allclose(found.values[jnp.asarray([1, 3])], whole.values[jnp.asarray([1, 3])])
    assert (Outline("a")(some, BATCH).counts == Outline("a")(OUTPUTS, BATCH).counts).all()


def test_what_a_model_did_not_say_is_told():
    with pytest.raises(ValueError, match=r"no 'b/said', only a/clean, .*: it takes a key"):
        Denoise("b")(OUTPUTS, BATCH)
    with pytest.raises(ValueError, match="no 'a/sketch', only a/said: it takes a denoiser whose network has a sketch"):
        Outline("a")({"a/said": OUTPUTS["a/said"]}, BATCH)
