"""What every loss of the room has to hold: a value a row, rows that do not mind their order, and absence that is absence."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium import losses
from sensorium.core.objective import Loss
from sensorium.losses import total

CLASSES = [thing for thing in vars(losses).values() if dataclasses.is_dataclass(thing)]
ROWS = 6
ABSENT = np.array([False, False, True, False, True, False])


@pytest.fixture(params=CLASSES, ids=lambda kind: kind.__name__)
def loss(request) -> Loss:
    """The loss over two fields: the constructors of losses take the names of what they read."""
    return request.param("a", "b")


def outputs() -> dict[str, jax.Array]:
    key = jax.random.key(0)
    units = {name: jax.random.normal(jax.random.fold_in(key, i), (ROWS, 5)) for i, name in enumerate(("a", "b"))}
    units = {f"{name}/unit": x / jnp.linalg.norm(x, axis=1, keepdims=True) for name, x in units.items()}
    return units | {"scale": jnp.float32(3.0)}


def batch() -> dict[str, jax.Array]:
    return {"group": jnp.array([0, 1, 2, 3, 3, 4]), "b/here": jnp.asarray(~ABSENT), "a/here": jnp.ones(ROWS, bool)}


def permuted(x: dict[str, jax.Array], order: np.ndarray) -> dict[str, jax.Array]:
    return {key: value[order] if value.ndim else value for key, value in x.items()}


def test_it_gives_a_value_a_row_and_says_which_count(loss):
    assert isinstance(loss, Loss) and hash(loss) == hash(copy.copy(loss)), "frozen: equal losses are one"
    values, counts = loss(outputs(), batch())
    assert values.shape == counts.shape == (ROWS,)
    assert jnp.isfinite(values).all() and len(np.unique(values[counts])) > 2
    assert (counts == ~ABSENT).all()


def test_permuted_rows_give_permuted_values(loss):
    order = np.random.default_rng(0).permutation(ROWS)
    values, counts = loss(outputs(), batch())
    again, counts_again = loss(permuted(outputs(), order), permuted(batch(), order))
    np.testing.assert_allclose(again, values[order], rtol=1e-5)
    assert (counts_again == counts[order]).all()


def test_a_row_that_is_dropped_has_no_gradient_and_no_effect(loss):
    here = jax.grad(jax.jit(lambda x: total({"it": (1.0, loss)}, x, batch())[0]))(outputs())
    for name in ("a/unit", "b/unit"):
        assert not here[name][ABSENT].any(), "exactly zero"
        assert jnp.abs(here[name][~ABSENT]).sum(1).min() > 0, "every row that counts learns"
    kept = np.flatnonzero(~ABSENT)
    whole, alone = loss(outputs(), batch()), loss(permuted(outputs(), kept), permuted(batch(), kept))
    np.testing.assert_allclose(whole.values[kept], alone.values, rtol=1e-5)
    assert not whole.values[ABSENT].any()
