"""Weights and averages: over the rows that count, and over nothing."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
import pytest

from sensorium.core.objective import LossRows
from sensorium.losses import total


@dataclass(frozen=True)
class Given:
    """Its values are an output, its counts an entry of the batch."""

    name: str

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        return LossRows(outputs[self.name], batch[f"{self.name}/here"])


OUTPUTS = {"a": jnp.array([1.0, 2.0, 6.0, jnp.nan]), "b": jnp.array([10.0, 20.0, 30.0, 40.0])}
BATCH = {"a/here": jnp.array([True, True, True, False]), "b/here": jnp.array([False, True, True, False])}


def test_each_loss_is_averaged_over_its_own_rows_then_weighted():
    loss, parts = total({"first": (2.0, Given("a")), "second": (0.5, Given("b"))}, OUTPUTS, BATCH)
    assert {name: float(x) for name, x in parts.items()} == {"first": 3.0, "second": 25.0}, "unweighted, by name"
    assert loss == 2.0 * 3 + 0.5 * 25


def test_no_row_and_no_loss_are_zero():
    nothing = {"a/here": jnp.zeros(4, bool)}
    loss, parts = total({"first": (2.0, Given("a"))}, OUTPUTS, nothing)
    assert loss == 0 and parts["first"] == 0
    assert total({}, OUTPUTS, BATCH) == (0, {})
    gradient = jax.grad(lambda a: total({"first": (2.0, Given("a"))}, {"a": a}, nothing)[0])(OUTPUTS["b"])
    assert not gradient.any()


def test_rows_that_do_not_count_have_no_gradient():
    gradient = jax.grad(lambda a: total({"first": (3.0, Given("a"))}, {"a": a}, BATCH)[0])(OUTPUTS["a"])
    assert gradient.tolist() == [1.0, 1.0, 1.0, 0.0]


def test_a_weight_may_follow_the_step():
    losses = {"first": (optax.schedules.linear_schedule(1.0, 0.0, 4), Given("a")), "second": (0.5, Given("b"))}
    run = jax.jit(lambda step: total(losses, OUTPUTS, BATCH, step))
    for step, weight in ((0, 1.0), (1, 0.75), (4, 0.0), (9, 0.0)):
        loss, parts = run(jnp.int32(step))
        assert loss == pytest.approx(3.0 * weight + 0.5 * 25) and parts["first"] == 3.0, "the mean is told unweighted"
    assert total(losses, OUTPUTS, BATCH, 2)[0] == pytest.approx(3.0 * 0.5 + 0.5 * 25)
    with pytest.raises(ValueError, match=r"loss 'first' is a schedule: total\(…, step=\)"):
        total(losses, OUTPUTS, BATCH)
