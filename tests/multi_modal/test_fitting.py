"""Fitting: what is read of the data, how much of it, and what is said where there is too little."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.errors import UnknownName
from sensorium.multi_modal.fitting import fit, only


class Line(nnx.Module):
    """y = w·x, with the least that `fit` asks for."""

    reads = ("x", "y")

    def __init__(self):
        self.w = nnx.Param(jnp.zeros(()))

    def loss(self, batch, key=None):
        assert set(batch) <= {"x", "y", "x/mask", "y/here"}
        return jnp.mean(jnp.square(self.w[...] * batch["x"] - batch["y"]))


class Numbers:
    """A source of rows x = i, y = 3·i, and a field that no one reads."""

    def __init__(self):
        self.seen: list[np.ndarray] = []

    def __len__(self) -> int:
        return 32

    def read(self, rows, draw: int = 0) -> dict[str, np.ndarray]:
        self.seen.append(np.asarray(rows))
        x = np.asarray(rows, np.float32) / 32
        return {"x": x, "y": 3 * x, "other": np.array([object()] * len(x), object), "group": np.asarray(rows, np.int32)}


def test_a_source_is_read_in_shuffled_batches_epoch_after_epoch():
    line, data = Line(), Numbers()
    history = fit(line, data, 200, batch_size=8, lr=0.1)
    assert float(line.w[...]) == pytest.approx(3.0, abs=0.05)
    assert history[-1]["step"] == 200 and history[-1]["loss"] < 1e-3 < history[1]["loss"]
    assert {len(rows) for rows in data.seen} == {8}
    # In which order several threads read them is not told; that each epoch holds every row once is.
    assert (np.bincount(np.concatenate(data.seen), minlength=32) == 200 * 8 // 32).all()
    assert any(list(rows) != sorted(rows) for rows in data.seen)


def test_batches_of_your_own_are_taken_as_they_come_and_told_of():
    told, batches = [], ({"x": np.ones(2, np.float32), "y": np.full(2, 3, np.float32)} for _ in range(9))
    assert fit(Line(), batches, 4, tell=told.append) == told
    assert len(list(batches)) == 5


def test_too_few_batches_and_no_steps_are_errors():
    batches = [{"x": np.ones(2, np.float32), "y": np.ones(2, np.float32)}] * 3
    with pytest.raises(ValueError, match="3 batches, where 5 steps"):
        fit(Line(), batches, 5)
    with pytest.raises(ValueError, match="steps=0"):
        fit(Line(), batches, 0)


def test_a_field_is_read_with_its_masks_and_nothing_else():
    batch = {name: np.ones(2) for name in ("x", "y", "x/mask", "y/here", "x/id", "z", "z/here")}
    assert set(only(batch, ("x", "y"))) == {"x", "y", "x/mask", "y/here"}
    with pytest.raises(UnknownName, match=r"no 'words'.*Did you mean 'word'"):
        only({"word": np.ones(2)}, ("words",))


def test_one_seed_one_result_and_another_another():
    results = []
    for seed in (0, 0, 1):
        line = Line()
        fit(line, Numbers(), 5, batch_size=4, lr=0.1, seed=seed)
        results.append(float(jax.device_get(line.w[...])))
    assert results[0] == results[1] != results[2]


def test_the_names_of_the_guide_are_read_too():
    """`MultiModalDataset.get_batch` gives `input_ids` and `attention_mask`."""
    given = {"image": 1, "input_ids": 2, "attention_mask": 3, "id": 4, "text/here": 5}
    assert only(given, ("image", "text")) == {"image": 1, "text": 2, "text/mask": 3, "text/here": 5}
    both = {"image": 1, "text": 6, "attention_mask": 3}
    assert only(both, ("image", "text")) == {"image": 1, "text": 6}, "a mask goes with the ids of its own name"
    with pytest.raises(UnknownName, match="no 'text'"):
        only({"image": 1}, ("image", "text"))
