"""What a step does beside the plain update: bad steps, accumulation, a moving average, fewer bits, several devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training.test_step import batches, leaves
from training.tiny import card, experiment

from sensorium.core.errors import BadFile, UnknownName
from sensorium.models import Space
from sensorium.training import Step, adamw, contrast
from sensorium.training.sharding import BadMesh, Placement

LOSSES = experiment().losses


def machine(optimizer=None, settle=Space.settle, **dials: Any) -> Step:
    return Step(card().build(0), contrast(LOSSES, watch=True), optimizer or adamw(1e-2, 20), settle=settle, **dials)


def copies(step: Step) -> dict[str, jax.Array]:
    return {name: x.copy() for name, x in step.state().items()}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all((np.asarray(a[name]) == np.asarray(b[name])).all() for name in a)


def test_a_step_that_is_not_finite_changes_its_counts_and_nothing_else():
    step, (one, two, three) = machine(ema=0.9), batches(8, 3)
    step(one)
    before = copies(step)
    bad = two | {"image": two["image"].astype(np.float32)}
    bad["image"][3] = np.inf
    out = step(bad)
    assert not np.isfinite(out["loss"]) and (int(out["skipped"]), int(out["bad"])) == (1, 1)
    assert np.flatnonzero(out["bad_rows/image"]).tolist() == [3] and not np.any(out["bad_rows/text"])
    after = copies(step)
    for name in ("count", "skipped", "bad"):
        assert int(after.pop(name)) == int(before.pop(name)) + 1
    assert same(before, after)
    assert int(step(bad)["bad"]) == 2
    out = step(three)
    assert (int(out["skipped"]), int(out["bad"])) == (2, 0) and bool(jnp.all(out["finite"]))
    assert not same({name: step.state()[name] for name in before}, before)


def test_a_gradient_that_is_not_finite_is_told_by_its_parameter():
    def objective(model, batch, key, updates):
        return jnp.sqrt(jnp.sum(model.projections["text"].kernel[...]) * 0.0) + jnp.sum(
            model.projections["image"].kernel[...]
        ), {}

    step = Step(card().build(0), objective, optax.sgd(0.1))
    before = leaves(step.model())
    out = step(batches(8, 1)[0])
    assert np.isfinite(out["loss"]) and int(out["bad"]) == 1
    assert [name for name, fine in zip(step.names, out["finite"], strict=True) if not fine] == ["projections.text.kernel"]
    for a, b in zip(before, leaves(step.model()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_accumulated_batches_make_one_update_by_their_mean():
    given = batches(8, 4)
    step = machine(optax.sgd(0.1), accumulate=2, settle=None)
    for batch in given:
        step(batch)

    def both(model, pair, key, updates):
        one, two = (contrast(LOSSES)(model, {name: x[i] for name, x in pair.items()}, key, updates)[0] for i in range(2))
        return 0.5 * (one + two), {}

    whole = Step(card().build(0), both, optax.sgd(0.1))
    for a, b in (given[:2], given[2:]):
        whole({name: np.stack([a[name], b[name]]) for name in a})
    for x, y in zip(leaves(step.model()), leaves(whole.model()), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-6)


def test_the_average_is_the_one_by_hand():
    step, decay = machine(optax.sgd(0.5), ema=0.3), 0.3
    expected = leaves(step.model())
    for number, batch in enumerate(batches(8, 4)):
        step(batch)
        keep = min(decay, (1 + number) / (10 + number))
        expected = [keep * old + (1 - keep) * new for old, new in zip(expected, leaves(step.model()), strict=True)]
    for got, right, now in zip(leaves(step.model(average=True)), expected, leaves(step.model()), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
        assert (got != now).any()
    with pytest.raises(ValueError, match="without ema="):
        machine().model(average=True)


def test_fewer_bits_come_near_and_the_parameters_keep_theirs():
    (batch,) = batches(8, 1)
    plain, short = machine(optax.sgd(0.1)), machine(optax.sgd(0.1), precision="bfloat16")
    a = plain(batch)
    with jax.numpy_dtype_promotion(
        "standard"
    ):  # the gradient of JAX's own attention mixes types; the encoders' contract is strict
        b = short(batch)
    assert a["loss"].dtype == b["loss"].dtype == jnp.float32 and a["loss"] != b["loss"]
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=0.03)
    assert {x.dtype for x in short.state().values()} == {np.dtype(np.float32), np.dtype(np.int32)}
    moved = [x - y for x, y in zip(leaves(plain.model()), leaves(card().build(0)), strict=True)]
    also = [x - y for x, y in zip(leaves(short.model()), leaves(card().build(0)), strict=True)]
    a, b = (np.concatenate([x.ravel() for x in each]) for each in (moved, also))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
    with pytest.raises(UnknownName, match=r"no precision 'bf16'.*bfloat16"):
        machine(precision="bf16")


@pytest.mark.parametrize("dials", [{}, {"ema": 0.9, "accumulate": 2, "frozen": ["encoders.image.*"]}], ids=["plain", "all"])
def test_from_its_state_a_step_goes_on_to_the_same_bits(dials):
    given = batches(8, 5)
    step, other = machine(**dials), machine(**dials, seed=0)
    for batch in given[:3]:
        step(batch)
    other.restore(copies(step))
    for batch in given[3:]:
        np.testing.assert_array_equal(step(batch)["loss"], other(batch)["loss"])
    assert same(copies(step), copies(other))


def test_every_array_of_the_state_decides_what_comes():
    given = batches(8, 3)
    start = machine(ema=0.9)
    start(given[0])
    start(given[1])
    state = copies(start)
    start(given[2])
    expected = copies(start)
    assert int(state.pop("bad")) == 0  # which a step that is applied sets to 0, whatever it was
    other = machine(ema=0.9)
    other._programs = start._programs  # the same program: it need not be compiled again
    for name, x in state.items():
        other.restore(state | {name: x + jnp.ones_like(x), "bad": jnp.int32(0)})
        other(given[2])
        assert not same(copies(other), expected), name


def test_a_state_of_another_run_is_refused_by_name():
    state = copies(machine())
    gone = next(name for name in state if name.startswith("optimizer/"))
    wrong = {name: x for name, x in state.items() if name != gone} | {"model/log_scale": jnp.zeros(2), "odd": jnp.zeros(())}
    with pytest.raises(BadFile) as error:
        machine().restore(wrong)
    for said in (f"missing {gone}", "unknown odd", "model/log_scale: float32[2], expected float32[]"):
        assert said in str(error.value)


@pytest.mark.parametrize("mesh", ["data=2", "fsdp=2"])
def test_two_devices_compute_what_one_does(mesh, monkeypatch):
    monkeypatch.setattr("sensorium.training.sharding.LEAST", 16)
    given = batches(8, 3)
    one, two = machine(), machine(placement=Placement.of_text(mesh))
    for batch in given:
        a, b = one(batch), two(batch)
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
    for x, y in zip(leaves(one.model()), leaves(two.model()), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-5)
    cut = [name for name, x in two.state().items() if not x.sharding.is_fully_replicated]
    assert bool(cut) == (mesh == "fsdp=2")
    if cut:
        assert any(name.startswith("optimizer/") for name in cut) and any(name.startswith("model/") for name in cut)
    three = machine()
    three.restore({name: jnp.asarray(np.asarray(x)) for name, x in two.state().items()})
    np.testing.assert_allclose(three(given[0])["loss"], two(given[0])["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    "mesh, said",
    [("data=3", "does not fill the 2 devices"), ("rows=2", "'rows=2' is no axis"), ("data=-1,fsdp=-1", "does not fill")],
)
def test_a_mesh_that_does_not_fit_is_refused(mesh, said):
    with pytest.raises(BadMesh, match=said):
        Placement.of_text(mesh)
    with pytest.raises(BadMesh, match="a batch of 7 rows does not divide by 2 devices"):
        Placement.of_text("data=-1").rows({"x": np.zeros(7, np.float32)})
