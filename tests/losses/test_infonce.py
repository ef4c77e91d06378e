"""InfoNCE against loops in float64, its gradient against differences, and the absence of rows."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import InfoNCE, total
from sensorium.losses.infonce import positives
from sensorium.nn.norms import unit

LOSS = InfoNCE("image", "text")
ROWS, WIDTH = 7, 4

CASES = {
    "whole": {},
    "missing": {"image/here": [1, 1, 0, 1, 1, 1, 1], "text/here": [1, 0, 1, 1, 1, 1, 0]},
    "groups": {"group": [0, 1, 0, 2, 0, 3, 3]},
    "equal captions": {"group": [0, 1, 2, 3, 4, 5, 6], "text/id": [5, 8, 5, 9, 1, 8, 5]},
    "equal pictures": {"image/id": [1, 1, 2, 3, 4, 5, 6]},
    "all of it": {
        "group": [0, 0, 2, 3, 4, 5, 6],
        "text/id": [5, 8, 5, 9, -1, -1, 5],
        "image/here": [1, 1, 0, 1, 1, 1, 1],
        "text/here": [1, 1, 1, 1, 0, 0, 1],
    },
}


def batch(case: str) -> dict[str, np.ndarray]:
    made = {key: np.array(value, bool if key.endswith("here") else np.int32) for key, value in CASES[case].items()}
    return {"image": np.zeros((ROWS, 1), np.uint8), **made}


def units(seed: int = 0) -> dict[str, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(2, ROWS, WIDTH))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return {"image/unit": x[0].astype(np.float32), "text/unit": x[1].astype(np.float32), "scale": np.array(4.0, np.float32)}


def reference(outputs: Mapping[str, Any], batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The definition, one row and one candidate at a time, in float64."""
    a, b, scale = (np.asarray(outputs[key], np.float64) for key in ("image/unit", "text/unit", "scale"))
    counts = np.ones(len(a), bool)
    for field in ("image", "text"):
        counts &= batch.get(f"{field}/here", counts)

    def alike(i, j) -> bool:
        same = any(key in batch and batch[key][i] == batch[key][j] for key in ("group", "image/id", "text/id"))
        return i == j or same

    values = np.zeros(len(a))
    for i in np.flatnonzero(counts):
        for queries, gallery in ((a, b), (b, a)):
            logits = {j: float(scale * (queries[i] @ gallery[j])) for j in np.flatnonzero(counts)}
            everything = math.log(sum(math.exp(x) for x in logits.values()))
            right = [everything - x for j, x in logits.items() if alike(i, j)]
            values[i] += 0.5 * sum(right) / len(right)
    return values, counts


def arrays(x: dict) -> dict[str, jax.Array]:
    """On the device, where losses are computed."""
    return jax.tree.map(jnp.asarray, x)


rows_of = jax.jit(LOSS)


@jax.jit
def mean(outputs, batch) -> jax.Array:
    return total({"it": (1.0, LOSS)}, outputs, batch)[0]


@pytest.mark.parametrize("case", CASES)
def test_it_equals_the_definition(case):
    values, counts = rows_of(arrays(units()), arrays(batch(case)))
    expected, expected_counts = reference(units(), batch(case))
    np.testing.assert_allclose(values, expected, rtol=2e-5, atol=1e-6)
    assert (counts == expected_counts).all()
    assert not np.asarray(values)[~expected_counts].any()


@pytest.mark.parametrize("case", CASES)
def test_its_gradient_is_that_of_central_differences(case):
    x, rows = units(1), batch(case)
    gradient = jax.grad(mean)(arrays(x), arrays(rows))
    x = {key: np.asarray(value, np.float64) for key, value in x.items()}

    def loss(x):
        values, counts = reference(x, rows)
        return values[counts].mean()

    for key in x:
        numeric = np.zeros(x[key].shape)
        for at in np.ndindex(x[key].shape):
            step = np.zeros(x[key].shape)
            step[at] = 1e-5
            numeric[at] = (loss(x | {key: x[key] + step}) - loss(x | {key: x[key] - step})) / 2e-5
        np.testing.assert_allclose(gradient[key], numeric, rtol=1e-4, atol=2e-6, err_msg=key)


def test_two_rows_by_hand():
    """Cosines of 1 on the diagonal and 0 off it, at scale s: each row is log(1 + e^-s); swapped it is s more."""
    eye = jnp.eye(2)
    rows = {"image": jnp.zeros((2, 1))}
    right = rows_of({"image/unit": eye, "text/unit": eye, "scale": jnp.float32(2.0)}, rows).values
    wrong = rows_of({"image/unit": eye, "text/unit": eye[::-1], "scale": jnp.float32(2.0)}, rows).values
    np.testing.assert_allclose(right, [math.log(1 + math.exp(-2))] * 2, rtol=1e-6)
    np.testing.assert_allclose(wrong, [math.log(1 + math.exp(-2)) + 2] * 2, rtol=1e-6)
    alike = rows_of({"image/unit": eye, "text/unit": eye, "scale": jnp.float32(2.0)}, rows | {"group": jnp.array([7, 7])}).values
    np.testing.assert_allclose(alike, [math.log(1 + math.exp(-2)) + 1] * 2, rtol=1e-6)


def test_a_row_is_alike_by_item_or_by_content_of_the_fields_that_are_compared():
    rows = arrays({"group": np.array([1, 1, 2, 3]), "text/id": np.array([4, 5, 5, 6]), "audio/id": np.zeros(4, np.int32)})
    got = np.asarray(positives(rows, "image", "text")).astype(int)
    assert got.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert np.asarray(positives(rows, "image", "audio")).all()


@jax.jit
def through(raw: dict[str, jax.Array], rows: dict[str, jax.Array]) -> jax.Array:
    """The loss of raw inputs through a projection and `unit`, as a model has it."""
    weights = jax.random.normal(jax.random.key(3), (3, WIDTH))
    return mean({f"{key}/unit": unit(x @ weights) for key, x in raw.items()} | {"scale": jnp.float32(4.0)}, rows)


def test_what_is_missing_has_exactly_no_gradient_whatever_stands_in_its_place():
    rows = batch("missing")
    lost = ~(rows["image/here"] & rows["text/here"])
    keys = jax.random.split(jax.random.key(0))
    raw = {name: jax.random.normal(key, (ROWS, 3)) for name, key in zip(("image", "text"), keys, strict=True)}
    blank = {name: jnp.where(jnp.asarray(lost)[:, None], 0.0, x) for name, x in raw.items()}
    for inputs in (raw, blank):
        value, gradients = jax.value_and_grad(through)(inputs, arrays(rows))
        for gradient in gradients.values():
            assert jnp.isfinite(gradient).all() and not gradient[lost].any() and gradient[~lost].all(axis=1).all()
    message = "what stands in the place of a missing thing has no effect"
    assert through(raw, arrays(rows)) == pytest.approx(float(value), rel=1e-6), message


@pytest.mark.parametrize("here", [{"image": 0, "text": 0}, {"image": 0, "text": 1}, {"image": 1, "text": 0}])
def test_where_no_row_is_complete_the_loss_and_every_gradient_are_zero(here):
    rows = {f"{name}/here": np.full(ROWS, bool(value)) for name, value in here.items()}
    if here == {"image": 1, "text": 0}:  # each row has one, none has both
        rows = {"image/here": np.arange(ROWS) % 2 == 0, "text/here": np.arange(ROWS) % 2 == 1}
    raw = {name: jax.random.normal(jax.random.key(1), (ROWS, 3)) for name in ("image", "text")}
    value, gradients = jax.value_and_grad(through)(raw, arrays(rows))
    assert value == 0 and all((gradient == 0).all() for gradient in gradients.values())
    assert jax.grad(mean)(arrays(units()), arrays(rows))["scale"] == 0


def test_a_single_row_that_counts_has_nothing_to_learn_from():
    rows = {"image/here": np.arange(ROWS) == 2, "text/here": np.ones(ROWS, bool)}
    value, gradients = jax.value_and_grad(mean)(arrays(units()), arrays(rows))
    assert value == 0 and all((gradient == 0).all() for gradient in jax.tree.leaves(gradients))


def test_large_scales_stay_finite():
    x = arrays(units() | {"scale": np.float32(100.0)})
    value, gradients = jax.value_and_grad(mean)(x, arrays(batch("all of it")))
    assert jnp.isfinite(value) and all(jnp.isfinite(gradient).all() for gradient in jax.tree.leaves(gradients))
    np.testing.assert_allclose(
        rows_of(x, arrays(batch("missing"))).values, reference(x, batch("missing"))[0], rtol=1e-4, atol=1e-4
    )
