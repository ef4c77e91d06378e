"""Interruption that leaves no trace: the same bits as a run that was never stopped, whatever stopped it and however often."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.tiny import experiment, items

from sensorium.checkpoints.checkpoint import Checkpoints
from sensorium.core.trainer import BadDial, Trainer
from sensorium.run import OtherRun, RunExists, train
from sensorium.training import Experiment, adamw, fit
from sensorium.training.interrupt import Interrupted
from sensorium.training.loop import Keeping
from sensorium.training.weights import arrays

STEPS = 12
TRAINER = Trainer(ema=0.9, accumulate=2, save_every=4, evaluate_every=3, keep=9)


def longer(**changes) -> Experiment:
    return experiment(STEPS, **({"trainer": TRAINER, "validation": tuple(items()[:6])} | changes))


def state(folder: Path) -> dict[str, Any]:
    saved = Checkpoints(folder).load()
    assert saved is not None and saved.step == STEPS
    return {name: np.asarray(x) for name, x in saved.arrays.items()} | {"about": json.dumps(saved.about, sort_keys=True)}


def same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def told(history: list[dict]) -> list[dict]:
    """The records without what depends on the clock."""
    clock = ("seconds", "seconds/compile", "samples_per_second", "busy", "resumed")
    kept = [{key: value for key, value in record.items() if key not in clock} for record in history]
    return [record for record in kept if record.keys() - {"step"}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole")
    return train(longer(), out), state(out)


class Pulled(Exception):
    """The plug."""


@pytest.mark.parametrize("after", [1, 5, 9])
def test_a_run_that_is_stopped_and_gone_on_with_is_the_run_that_was_not(after, whole, tmp_path):
    run, expected = whole

    def pull(record: dict) -> None:
        if record["step"] == after:
            raise Pulled

    with pytest.raises(Pulled):
        train(longer(), tmp_path, pull)
    again = train(longer(workers=1 if after == 5 else 0), tmp_path, resume=True)
    same(state(tmp_path), expected)
    assert told(again.history) == told(run.history)
    for name, x in arrays(run.sensorium.model).items():
        np.testing.assert_array_equal(x, arrays(again.sensorium.model)[name])
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == again.history


def test_ctrl_c_saves_between_two_steps_and_says_how_to_go_on(whole, tmp_path):
    def interrupt(record: dict) -> None:
        if "loss" in record and record["step"] in (2, 7):  # no multiple of what is saved by itself
            signal.raise_signal(signal.SIGINT if record["step"] == 2 else signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"SIGINT after step 2 of 12; everything is saved .*With resume it goes on"):
        train(longer(), tmp_path, interrupt)
    assert Checkpoints(tmp_path).steps() == [2]
    with pytest.raises(Interrupted, match="SIGTERM after step 7 of 12"):
        train(longer(), tmp_path, interrupt, resume=True)
    assert signal.getsignal(signal.SIGTERM) is before
    train(longer(), tmp_path, resume=True)
    same(state(tmp_path), whole[1])


def test_a_checkpoint_that_is_not_whole_costs_the_steps_since_the_one_before(whole, tmp_path):
    train(longer(), tmp_path)
    for step, name in ((12, "manifest.json"), (9, "state.json")):  # 9: the best so far may be any
        place = Checkpoints(tmp_path).place(step)
        if place.exists():
            (place / name).write_bytes(b"{" + (place / name).read_bytes()[1:-3])
    again = train(longer(), tmp_path, resume=True)
    same(state(tmp_path), whole[1])
    (resumed,) = [record for record in again.history if "resumed" in record]
    assert resumed["step"] < 12 and any("manifest.json" in said for said in resumed["resumed"])


def test_another_run_is_refused_by_name_and_a_standing_one_is_not_replaced(tmp_path):
    train(longer(), tmp_path)
    with pytest.raises(RunExists, match="a run stands here"):
        train(longer(), tmp_path)
    other = longer(trainer=replace(TRAINER, ema=0.5))
    other = replace(other, arguments=other.arguments | {"batch": 4}, batch=4)
    with pytest.raises(OtherRun, match=r"batch: 8, now 4, ema: 0.9, now 0.5\. Give the same"):
        train(other, tmp_path, resume=True)
    with pytest.raises(OtherRun, match="no run was begun here"):
        train(longer(), tmp_path / "new", resume=True)
    train(longer(trainer=replace(TRAINER, keep=3)), tmp_path, resume=True)  # which decides nothing that is computed
    changed = longer(trainer=replace(TRAINER, ema=0.5))
    assert train(changed, tmp_path, resume=True, changed=True).history[-1]["step"] == STEPS
    train(longer(), tmp_path, overwrite=True)


def test_on_two_devices_it_goes_on_where_one_was(whole, tmp_path):
    def pull(record: dict) -> None:
        if record["step"] == 9:
            raise Pulled

    with pytest.raises(Pulled):
        train(longer(), tmp_path, pull)
    run = train(longer(trainer=replace(TRAINER, mesh="fsdp=2")), tmp_path, resume=True, changed=True)
    for name, x in arrays(run.sensorium.model).items():
        np.testing.assert_allclose(x, arrays(whole[0].sensorium.model)[name], atol=2e-5)


def test_it_stops_early_with_the_best_and_keeps_that_over_a_stop(tmp_path):
    def scores(values: list[float]):
        def evaluate(model) -> dict[str, float]:
            return {"a->b/recall@1": values.pop(0)}

        return evaluate

    trainer = Trainer(evaluate_every=2, patience=2, save_every=1, keep=1)
    given = [0.1, 0.5, 0.4, 0.5, 0.9]
    long = experiment(20, optimizer=adamw(1e-2, 20), trainer=trainer)
    model, history = fit(long, Keeping.at(tmp_path, keep=1), evaluate=scores(list(given)))
    assert history[-1]["step"] == 8 and history[-1]["evaluation/a->b/recall@1"] == 0.5
    four, _ = fit(experiment(4, optimizer=adamw(1e-2, 20), trainer=Trainer()))
    for name, x in arrays(four).items():
        np.testing.assert_array_equal(arrays(model)[name], x)
    assert Checkpoints(tmp_path).best() == 4 and set(Checkpoints(tmp_path).steps()) == {4, 8}
    again, _ = fit(long, Keeping.at(tmp_path, resume=True), evaluate=scores([]))  # it has ended
    for name, x in arrays(four).items():
        np.testing.assert_array_equal(arrays(again)[name], x)
    with pytest.raises(BadDial, match="patience=2: counts evaluations"):
        Trainer(patience=2)


SCRIPT = """
import sys
from training.test_resume import longer
from sensorium.run import train
train(longer(), sys.argv[1], lambda record: print(record["step"], flush=True), resume=sys.argv[2] == "resume")
"""


def test_killed_at_any_moment_again_and_again_it_comes_to_the_same_bits(whole, programs_kept, tmp_path):
    """kill −9 while it computes and while it saves, the second time right after it went on."""
    folder, tests = tmp_path / "run", Path(__file__).parents[1]
    random, kills, how = np.random.default_rng(0), 0, "new"
    for _ in range(8):
        line = [sys.executable, "-c", SCRIPT, str(folder), how]
        env = os.environ | programs_kept | {"PYTHONPATH": str(tests)}
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=tests, env=env)
        assert process.stdout is not None
        for text in process.stdout:
            how = "resume"  # from its first record on there is a run
            if kills < 3 and re.fullmatch(r"\d+\n", text) and int(text) >= 2 + 3 * kills:
                time.sleep(random.uniform(0, 0.02))
                process.kill()
                kills += 1
                break
        process.stdout.close()
        if process.wait() == 0:
            break
    assert kills == 3
    same(state(folder), whole[1])
    assert not [path for path in (folder / "checkpoints").iterdir() if path.name.startswith(".")], "leftovers are cleared"
