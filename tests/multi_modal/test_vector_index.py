"""Checksums tell contents apart, and only contents."""

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from sensorium.core.errors import BadFile
from sensorium.multi_modal.vector_index import checksum


def test_unlike_things_have_unlike_checksums_and_equal_ones_the_same(tmp_path):
    (tmp_path / "a").write_text("one")
    x = np.arange(6, dtype=np.float32)
    things = [
        x, x.reshape(2, 3), x.astype(np.float64), x.view(np.int32), x[::-1], "one", "two", b"one", 1, 1.5, None,
        tmp_path / "a", [x, 8000], (x, 16000), ["one", "two"], ["onetwo"],
        PIL.Image.new("RGB", (2, 3)), PIL.Image.new("RGB", (3, 2)),
    ]  # fmt: skip
    sums = [checksum(thing) for thing in things]
    assert len(set(sums)) == len(things)
    assert checksum(jnp.asarray(x)) == checksum(x) == checksum(np.repeat(x, 2)[::2]), "the same numbers, elsewhere"
    assert checksum((x, 8000)) == checksum([x, 8000])
    (tmp_path / "a").write_text("another")
    assert checksum(tmp_path / "a") != sums[11]


def test_what_has_no_content_is_an_error(tmp_path):
    with pytest.raises(BadFile, match="no such file"):
        checksum(tmp_path / "none")
    with pytest.raises(ValueError, match="is a object"):
        checksum(object())
