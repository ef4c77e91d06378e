"""Weights in a file: the same back, all misfits at once, and nothing half loaded."""

import jax
import numpy as np
import pytest
from flax import nnx
from training.tiny import card

from sensorium.core.errors import BadFile
from sensorium.training.weights import arrays, load_weights, save_weights


class Pair(nnx.Module):
    def __init__(self, width: int, extra: bool, seed: int):
        self.a = nnx.Linear(2, width, rngs=nnx.Rngs(seed))
        if extra:
            self.b = nnx.Linear(2, 2, rngs=nnx.Rngs(seed))


def test_what_was_saved_comes_back_bit_by_bit(tmp_path):
    model = card().build(3)
    save_weights(model, tmp_path / "w.safetensors")
    for shell in (card().build(0), nnx.eval_shape(lambda: card().build(0))):
        back = arrays(load_weights(shell, tmp_path / "w.safetensors"))
        assert back.keys() == arrays(model).keys()
        for name, x in arrays(model).items():
            np.testing.assert_array_equal(back[name], x)


def test_all_that_does_not_fit_is_told_and_nothing_is_loaded(tmp_path):
    save_weights(Pair(3, False, 1), tmp_path / "w.safetensors")
    target = Pair(4, True, 2)
    before = jax.tree.map(np.asarray, arrays(target))
    with pytest.raises(
        BadFile, match=r"does not fit the module: missing b.bias; missing b.kernel; a.bias: float32\[3\], expected float32\[4\]"
    ):
        load_weights(target, tmp_path / "w.safetensors")
    for name, x in arrays(target).items():
        np.testing.assert_array_equal(before[name], x)
    (tmp_path / "w.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadFile, match="cannot be read"):
        load_weights(target, tmp_path / "w.safetensors")
