"""Forms: what a decoder sees of pictures and readings, and what a person gets back."""

import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.decoders.form import Form, Numbers, Pixels, formed, means


def test_every_level_of_a_pixel_comes_back():
    x = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    y = Pixels().into(x)
    assert y.dtype == jnp.float32 and float(y.min()) == -1 and float(y.max()) == 1
    assert (Pixels().back(y) == x).all()
    assert Pixels().back(jnp.full((1, 1, 1, 1), 1.5)).tolist() == [[[[255]]]], "what is beyond white is white"


def test_a_block_of_pixels_becomes_its_mean():
    clip = np.zeros((1, 2, 2, 4, 1), np.uint8)
    clip[0, 0, :, :2], clip[0, 1, 0, 3] = 100, 255
    y = Pixels((2, 2, 2)).into(jnp.asarray(clip))
    np.testing.assert_allclose(y.reshape(-1), [400 / 8 / 127.5 - 1, 255 / 8 / 127.5 - 1], rtol=1e-6)


@pytest.mark.parametrize("every", [(2,), (3, 2)])
def test_blocks_that_do_not_fill_the_grid_are_an_error(every):
    with pytest.raises(ValueError, match=r"\(4, 4\) in blocks of"):
        means(jnp.zeros((1, 4, 4, 1)), every)


def test_readings_come_back_and_what_is_beyond_is_cut():
    form, x = Numbers(4.0), jnp.asarray([[[-3.0, 0.5]], [[9.0, -8.0]]])
    assert form.into(x).tolist() == [[[-0.75, 0.125]], [[1.0, -1.0]]]
    assert form.back(form.into(x)).tolist() == [[[-3.0, 0.5]], [[4.0, -4.0]]]


def test_json_makes_a_form_by_its_name():
    form = formed({"form": "pixels", "every": [2, 2]})
    assert form == Pixels((2, 2)) and isinstance(form, Form)
    with pytest.raises(UnknownName, match="Did you mean 'pixels'"):
        formed({"form": "pixel"})
