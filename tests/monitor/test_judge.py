"""The training doctor: each planted fault is named within its number of steps, and nothing is said of healthy runs."""

import json
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from monitor.planted import STEPS, Batches, Record, first, model, records, told, world

from sensorium.monitor.judge import Monitor
from sensorium.monitor.kinds import KINDS

THREE = ("image", "text", "audio")
FLAT = {"shrink": 1 - 1e-6, "shift": 1.0}  # what a row says drowns in a constant
CHANCE = ("loss at chance", "modality gap", "collapse")


def changed(batches: Batches, **changes: Callable[[np.ndarray], np.ndarray]) -> Batches:
    return {name: changes[name](x) if name in changes else x for name, x in batches.items()}


def shifted(batches: Batches, name: str) -> Batches:
    return changed(batches, **{name: lambda x: np.roll(x, 1, axis=1)})


def spoiled(batches: Batches) -> Batches:
    batches["image"][10, 3] = np.nan
    return batches


def doubled(batches: Batches) -> Batches:
    return {name: np.repeat(x[:, ::2], 2, axis=1) for name, x in batches.items()}


def fixed(batches: Batches) -> Batches:
    return {name: np.repeat(x, STEPS, axis=0) for name, x in batches.items()}


def record(step: int, **changes: float) -> Record:
    """Of a healthy run; the names have "__" for "/" and "_" for "-"."""
    healthy = {"loss": 1.0, "scale": 20.0, "busy": 0.98, "norm/gradient": 1.0, "norm/parameters": 10.0, "norm/step": 0.005}
    return {"step": step} | healthy | {name.replace("__", "/").replace("_", "-"): x for name, x in changes.items()}


def pair(step: int, loss: float, hit: float) -> Record:
    fields = {
        f"{name}__{x}": v for x in ("a", "b") for name, v in (("spread", 0.9), ("rank", 5.0), ("same", 0.0), ("rows", 64.0))
    }
    numbers = {"hit": hit, "luck": 1 / 64, "rows": 64.0, "chance": math.log(64), "gap": 0.2, "twins": 0.0, "kin": 0.5}
    return record(step, loss=loss, loss__a_b=loss, **fields, **{f"{name}__a_b": x for name, x in numbers.items()})


class Fault(NamedTuple):
    """Its records, the kind that names it, within how many steps, what else may be told of it, and whom it names."""

    records: Callable[[], Sequence[Record]]
    kind: str
    within: int
    also: tuple[str, ...] = ()
    names: str = ""


FAULTS = {
    "shuffled pairs": Fault(lambda: records(model(), shifted(world(), "text")), "shuffled pairs", 300, CHANCE, "text"),
    "steps far too small": Fault(lambda: records(model(), world(), lr=1e-7), "steps too small", 200, CHANCE, "0.00%"),
    "lr x 1000": Fault(lambda: records(model(), world(), lr=10.0), "steps too large", 10, (*CHANCE, "exploding")),
    "nothing learned": Fault(
        lambda: records(model(), shifted(world(seed=1), "image")), "loss at chance", 200, (*CHANCE, "shuffled pairs")
    ),
    "constant input": Fault(
        lambda: records(model(), changed(world(), image=lambda x: x * 0 + 1)), "constant input", 30, CHANCE, "'image'"
    ),
    "a tower behind a stop": Fault(
        lambda: records(model(image={"stop": 1.0}), world()), "stands still", 30, (), "encoders.image"
    ),
    "dead units": Fault(lambda: records(model(text={"dead": 100.0}), world()), "dead units", 100, (), "'text'"),
    "collapse": Fault(
        lambda: records(model(image=FLAT, text=FLAT), world()), "collapse", 100, (*CHANCE, "vanishing gradient"), "'image'"
    ),
    "vanishing gradient": Fault(
        lambda: records(model(image=FLAT, text=FLAT, seed=3), world()), "vanishing gradient", 30, CHANCE
    ),
    "poles apart": Fault(
        lambda: records(model(), world(), apart=3.0), "modality gap", 250, ("scale at its clamp",), "image-text"
    ),
    "ignored": Fault(
        lambda: records(model(THREE), shifted(world(THREE), "audio")),
        "ignored modality", 250, (*CHANCE, "shuffled pairs"), "'audio'",
    ),
    "lopsided": Fault(
        lambda: records(model(THREE), world(THREE), weights=[1, 1e-3, 1e-3]), "lopsided gradient", 100, (), "'audio'"
    ),
    "twins": Fault(lambda: records(model(), doubled(world())), "twins as negatives", 30, (), "100%"),
    "scale at its clamp": Fault(lambda: records(model(), world(), top=20.0), "scale at its clamp", 150, (), "20"),
    "overfitting": Fault(
        lambda: records(model(), fixed(world(steps=1, noise=1.0)), exam=world(steps=1, noise=1.0, seed=9)), "overfitting", 100
    ),
    "NaN in the input": Fault(lambda: records(model(), spoiled(world()), every=1)[:30], "not finite", 11, (), "'image'"),
    "starved": Fault(lambda: [record(i * 10, busy=0.3) for i in range(1, 9)], "starved", 50, (), "70%"),
    "a gradient explodes": Fault(
        lambda: [record(i * 10, norm__gradient=1.0 if i < 9 else 400.0) for i in range(1, 13)], "exploding", 100, (), "400"
    ),
    "parameters explode": Fault(
        lambda: [record(i * 10, norm__parameters=4.0**i, loss=1.0 + i) for i in range(1, 7)], "exploding", 50
    ),
    "a margin that stays": Fault(lambda: [pair(i * 10, 0.4, 0.02) for i in range(1, 25)], "loss stays", 220, (), "a-b"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_in_time(name):
    fault = FAULTS[name]
    monitor = Monitor(largest_scale=20.0 if name == "scale at its clamp" else 100.0)
    findings = told(fault.records(), monitor)
    found = first(findings)
    assert fault.kind in found and found[fault.kind] <= fault.within, found
    assert found.keys() <= {fault.kind, *fault.also}, found
    mine = next(finding for finding in findings if finding.kind == fault.kind)
    assert fault.names in mine.text and mine.advice == KINDS[fault.kind].advice


def missing(batches: Batches) -> Batches:
    draw = np.random.default_rng(0)
    return {name: draw.random(x.shape) < 0.7 if name.endswith("/here") else x for name, x in batches.items()}


HEALTHY = {
    "two senses": lambda: records(model(), world()),
    "another seed, a slower rate": lambda: records(model(seed=5), world(seed=5), lr=3e-3),
    "much noise": lambda: records(model(seed=6), world(seed=6, noise=0.5)),
    "a third of each missing": lambda: records(model(seed=4), missing(world(seed=4))),
    "three senses": lambda: records(model(THREE, seed=2), world(THREE, seed=2)),
    "every step told": lambda: records(model(seed=7), world(seed=7), every=1),
    "small batches": lambda: records(model(seed=1), world(rows=8, seed=1)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_a_healthy_run(name):
    history = HEALTHY[name]()
    assert history[-1]["hit/image-text" if "hit/image-text" in history[-1] else "hit/text-image"] > 0.5, "it does learn"
    assert told(history) == []


def test_every_kind_has_its_fault():
    assert {fault.kind for fault in FAULTS.values()} == set(KINDS)


def test_a_kind_is_told_once_and_again_when_it_has_come_back():
    busy = [0.3] * 9 + [0.9] * 2 + [0.3] * 9
    found = told([record(10 * (i + 1), busy=x) for i, x in enumerate(busy)])
    assert [(x.kind, x.step) for x in found] == [("starved", 50), ("starved", 160)]
    assert told([record(i, busy=0.3) for i in range(1, 20)]) == [], "not for 20 steps yet"
    assert told([record(i * 10, busy=0.3 if i % 5 else 0.9) for i in range(1, 30)]) == [], "never five records in a row"


def test_pairs_are_called_shuffled_only_where_likeness_is_not_shared():
    """At chance and far moved may be a bad rate or too weak a tower: distances in the two senses tell the one from the other."""
    stuck = [pair(i * 10, math.log(64), 1 / 64) for i in range(1, 40)]
    assert first(told(stuck)) == {"loss at chance": 200}
    unlike = [x | {"kin/a-b": 0.03 * (-1) ** i} for i, x in enumerate(stuck)]
    assert first(told(unlike)) == {"loss at chance": 200, "shuffled pairs": 250}
    for cause in ({"norm/step": 0.2}, {"still/encoders.a": 1.0}, {"norm/gradient": 1e-9}, {"rank/b": 0.0}):
        assert "shuffled pairs" not in first(told([x | cause for x in unlike])), cause


def test_a_resumed_monitor_tells_neither_more_nor_less():
    history = records(model(), shifted(world(), "text"))
    whole = told(history)
    assert len(whole) >= 2
    for cut in (1, 15, 21, 29):
        before, after = Monitor(), Monitor()
        found = told(history[:cut], before)
        state = json.dumps(before.state(), allow_nan=False)
        after.restore(json.loads(state))
        assert json.dumps(after.state()) == state
        assert found + told(history[cut:], after) == whole
        assert json.dumps(before.state()) == state, "the two share nothing"
    with pytest.raises(ValueError, match="no state of a monitor"):
        Monitor().restore({"seen": []})


def test_what_is_meant_to_stand_still_is_not_told():
    history = records(model(image={"stop": 1.0}), world())
    assert told(history, Monitor(frozen=["encoders.image.*"])) == []
    assert {x.kind for x in told(history, Monitor(frozen=["encoders.text.*"]))} == {"stands still"}
    late = told(history, Monitor(thaw={100: ["encoders.image.*"]}))
    assert [(x.kind, x.step) for x in late] == [("stands still", 130)], "it was to move from step 100 on"
    assert told([x | {"norm/update": 0.0} for x in history]) == [], "nothing moves while gradients are gathered"
    absent = [x | {"rows/image-text": 0.0} for x in history]
    assert "stands still" not in first(told(absent)), "no row has both: there is nothing to learn from"


def test_a_record_may_lack_anything():
    assert told([{"step": 0, "seconds/compile": 1.0}, {"step": 10}, {"step": 20, "loss": 1.0}, {"step": 30, "busy": 1.0}]) == []
    assert first(told([{"step": 1, "loss": math.nan}])) == {"not finite": 1}
    assert told([{"step": 10 * i, "evaluation/a->b/recall@1": 0.5, "loss": 1.0 / i} for i in range(1, 20)]) == []
    falling = [{"step": 10 * i, "evaluation/a->b/recall@1": 0.9 - 0.05 * i, "loss": 1.0 / i} for i in range(1, 12)]
    assert first(told(falling)) == {"overfitting": 70}


def test_mixing_names_its_fields():
    (finding,) = Monitor().mixing(["image", "text"])
    assert finding.kind == "rows mix" and "'image', 'text'" in finding.text and Monitor().mixing([]) == []
