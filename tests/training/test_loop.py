"""The loop: the same twice, better at its end, and stopped where the numbers end."""

import dataclasses
import json
import time

import jax
import numpy as np
import pytest
from flax import nnx
from training.tiny import FIELDS, experiment

from sensorium.core.batch import Batch
from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.core.trainer import Trainer
from sensorium.data import Folder
from sensorium.training import course, fit
from sensorium.training.loop import Diverged, Keeping
from sensorium.training.weights import arrays

RECORD = {"step", "loss", "loss/image-text", "scale", "samples_per_second", "seconds", "busy", "rejected", "skipped"}


def leaves(model) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def losses(history) -> list[float]:
    return [record["loss"] for record in history[1:]]


def test_equal_seeds_give_equal_bits_and_others_do_not():
    (a, first), (b, second), (c, _) = fit(experiment(6)), fit(experiment(6)), fit(experiment(6, seed=1))
    assert losses(first) == losses(second)
    for x, y, z in zip(leaves(a), leaves(b), leaves(c), strict=True):
        np.testing.assert_array_equal(x, y)
        assert (x != z).any()


def test_the_loss_falls():
    model, history = fit(experiment(60))
    assert np.mean(losses(history)[-5:]) < 0.4 * np.mean(losses(history)[:5])
    assert all(np.isfinite(leaf).all() for leaf in leaves(model))


def test_the_history_says_it_all_and_is_told_and_written(tmp_path):
    told = []
    _, history = fit(experiment(5), Keeping.at(tmp_path), told.append)
    assert told == history == [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert set(history[0]) == {"step", "seconds/compile"} and history[0]["step"] == 0 and history[0]["seconds/compile"] > 0
    assert [record["step"] for record in history[1:]] == [1, 2, 3, 4, 5]
    assert all(set(record) >= RECORD for record in history[1:])


def test_of_many_steps_each_record_is_the_mean_since_the_last(monkeypatch):
    _, each = fit(experiment(7))
    monkeypatch.setattr(course, "RECORDS", 2)
    _, some = fit(experiment(7))
    assert [record["step"] for record in some[1:]] == [3, 6, 7]
    expected = [np.mean(losses(each)[:3]), np.mean(losses(each)[3:6]), losses(each)[6]]
    np.testing.assert_allclose(losses(some), expected, rtol=1e-6)


class Broken:
    """A source whose pictures are floats, NaN from batch number 2 on."""

    def __init__(self, source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def read(self, rows, draw: int = 0) -> Batch:
        batch = self.source.read(rows, draw)
        picture = batch["image"].astype(np.float32) / 127.5 - 1
        return batch | {"image": np.full_like(picture, np.nan) if draw >= 2 else picture}


def test_steps_that_are_no_number_are_named_and_stop_the_run_where_they_go_on(tmp_path):
    broken = dataclasses.replace(experiment(6), source=Broken(experiment().source), trainer=Trainer(bad_steps=3))
    with pytest.raises(Diverged) as caught:
        fit(broken, Keeping.at(tmp_path))
    assert isinstance(caught.value, SensoriumError)
    for said in ("not finite in 3 steps in a row", "step 3: image of ", "Lower the learning rate", str(tmp_path)):
        assert said in str(caught.value)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record.get("skipped") for record in records[1:]] == [0, 0, 1, 2, 3]
    assert records[-1]["loss"] is None and records[-1]["broken"][0].startswith("step 5: image of ")
    good, _ = fit(dataclasses.replace(broken, steps=4))
    kept = Keeping.at(tmp_path).checkpoints.load()
    assert kept is not None  # and it is what was before the first of them
    for name, x in arrays(good).items():
        np.testing.assert_array_equal(kept.arrays[f"model/{name}"], x)


def test_a_single_bad_step_is_skipped_and_its_rows_are_named():
    class Once(Broken):
        def name(self, row: int) -> str:
            return f"thing {row}"

        def read(self, rows, draw: int = 0) -> Batch:
            batch = super().read(rows, 0)
            if draw == 2:
                batch["image"][5] = np.inf
            return batch

    source = Once(experiment().source)
    _, history = fit(dataclasses.replace(experiment(5), source=source))
    row = int(experiment(5).stream()._order.rows(2)[5])
    assert [record["skipped"] for record in history[1:]] == [0, 0, 1, 1, 1]
    assert history[3]["broken"] == [f"step 3: image of thing {row}"] and np.isfinite(history[-1]["loss"])


class Slow(Broken):
    """A source that takes a while."""

    def read(self, rows, draw: int = 0) -> Batch:
        time.sleep(0.3)
        return self.source.read(rows, draw)


def test_a_step_that_waits_for_data_is_told_so():
    """Sixteen steps of milliseconds wait for batches of 0.3 s, of which two are read at once and a few are read ahead."""
    starved = dataclasses.replace(experiment(16), source=Slow(experiment().source))
    assert fit(starved)[1][-1]["busy"] < 0.9
    assert min(record["busy"] for record in fit(experiment(8))[1][1:]) >= 0


def test_what_cannot_be_read_is_told_beside_the_log(tmp_path):
    items = list(experiment().source.items)  # pyright: ignore[reportAttributeAccessIssue]
    items[3] = Item(items[3].id, items[3].raws | {"image": (b"no picture",)})
    broken = dataclasses.replace(experiment(4), source=Folder(items, FIELDS))
    _, history = fit(broken, Keeping.at(tmp_path))
    (line,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["file"] == items[3].id and json.loads(line)["kind"] == "image"
    assert history[-1]["rejected"] == 2, "four batches of 8 are two epochs of 16"
