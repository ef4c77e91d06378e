"""What a step tells of itself: values by hand, absent rows that count nowhere, and no NaN where nothing is there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from monitor.planted import model, world

from sensorium.monitor.probe import mixes_rows
from sensorium.monitor.watch import MOST_ROWS, of_outputs, of_update
from sensorium.nn.norms import unit

CROSS = np.array([[1, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]], np.float32)


def told(a, b=None, /, **batch) -> dict[str, float]:
    """Of vectors `a` (and `b`); the inputs are the vectors unless the batch has others."""
    fields = {"a": a} | ({} if b is None else {"b": b})
    inputs = {name: np.asarray(x) for name, x in fields.items()} | batch
    outputs = {f"{name}/unit": jnp.asarray(x) for name, x in fields.items()}
    return {name: float(x) for name, x in jax.jit(of_outputs)(outputs, inputs).items()}


def random(rows: int, seed: int, width: int = 6) -> np.ndarray:
    return np.asarray(unit(jnp.asarray(np.random.default_rng(seed).normal(size=(rows, width)), jnp.float32)))


def test_the_vectors_of_a_field_by_hand():
    out = told(CROSS)
    assert out["rank/a"] == pytest.approx(2) and out["spread/a"] == pytest.approx(1) and out["dead/a"] == 0.5
    assert out["uniformity/a"] == pytest.approx(np.log((2 * np.exp(-8) + 4 * np.exp(-4)) / 6), rel=1e-5)
    assert out["same/a"] == out["broken/a"] == 0 and out["rows/a"] == 4
    one = told(np.repeat(CROSS[:1], 4, axis=0))
    assert one["rank/a"] == one["spread/a"] == one["uniformity/a"] == one["dead/a"] == 0 and one["same/a"] == 1
    near = CROSS.copy()
    near[:, 2] = 1e-5  # a dimension that does not change, beside those that do
    assert told(near)["dead/a"] == 0.5


def test_a_pair_by_hand():
    turned = CROSS[:, [1, 0, 2, 3]]  # every row a quarter turn away from its partner: hits none
    out = told(CROSS, turned)
    assert out["alignment/a-b"] == pytest.approx(2) and out["gap/a-b"] == 0 and out["kin/a-b"] == pytest.approx(1)
    assert out["hit/a-b"] == 0 and out["luck/a-b"] == 0.25
    assert out["rows/a-b"] == 4 and out["chance/a-b"] == pytest.approx(np.log(4))
    assert told(CROSS, CROSS)["hit/a-b"] == 1 and told(CROSS, CROSS)["alignment/a-b"] == 0
    wrong = told(CROSS, CROSS[[0, 1, 3, 2]])
    assert wrong["hit/a-b"] == 0.5 and wrong["alignment/a-b"] == pytest.approx(2)
    poles = np.eye(4, dtype=np.float32)[[3, 3, 3, 3]]
    assert told(unit(jnp.asarray(CROSS + 3 * poles)), unit(jnp.asarray(CROSS - 3 * poles)))["gap/a-b"] == pytest.approx(
        2 * 3 / np.sqrt(10), rel=1e-5
    )


def test_twins_are_equal_rows_that_are_no_positives():
    a, b, rows = random(6, 0), random(6, 1), np.arange(6, dtype=np.int32)
    words = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [1, 0], [7, 7]], np.int32)

    def share(units=b, inputs=words, ids=rows, group=rows, here=rows >= 0) -> float:
        return told(a, units, b=inputs, group=group, **{"b/id": ids, "b/here": here})["twins/a-b"]

    known = np.array([0, 1, 0, 3, 4, 5], np.int32)
    distinct = np.arange(12, dtype=np.int32).reshape(6, 2)
    assert share() == pytest.approx(2 / 6), "equal inputs"
    assert share(inputs=distinct) == share(ids=known) == share(group=known) == share(here=rows > 0) == 0
    assert share(b[[0, 1, 2, 3, 4, 0]], distinct) == pytest.approx(2 / 6), "equal vectors"
    pictures = np.zeros((6, 4, 4, 3), np.uint8)
    pictures[rows, 0, 0, 0] = rows  # one byte differs
    out = told(a, b, a=pictures)
    assert out["twins/a-b"] == 0 and out["same/a"] == 0


def test_absent_rows_count_nowhere_and_nothing_is_nan():
    a, b = random(9, 3), random(9, 4)
    there, also = np.arange(9) % 3 != 0, np.arange(9) > 2
    spoiled = np.where(there[:, None], a, np.nan).astype(np.float32)
    out = told(spoiled, b, **{"a/here": there, "b/here": also})
    field, pair = told(a[there], b[there]), told(a[there & also], b[there & also])
    for name in ("rank", "spread", "uniformity", "dead", "same", "broken", "rows"):
        assert out[f"{name}/a"] == pytest.approx(field[f"{name}/a"], rel=1e-5)
    for name in ("alignment", "gap", "hit", "luck", "twins", "rows", "chance", "kin"):
        assert out[f"{name}/a-b"] == pytest.approx(pair[f"{name}/a-b"], rel=1e-5, abs=1e-6)
    whole = told(spoiled, b, **{"a/here": also | True, "b/here": also})
    assert whole["broken/a"] == pytest.approx(3 / 9), "what is there and no number is told, and left out of the rest"
    assert whole["rank/a"] == out["rank/a"]
    pole = np.array([4, 0, 0, 0, 0, 0], np.float32)
    poles = told(unit(jnp.asarray(a + pole)), unit(jnp.asarray(a - pole)), **{"a/here": there, "b/here": also})
    alone = told(unit(jnp.asarray(a + pole))[there & also], unit(jnp.asarray(a - pole))[there & also])
    assert poles["hit/a-b"] == alone["hit/a-b"] > 0, "an absent row, all zeros, is nearer than any that is there"
    for here in (also & False, np.arange(9) == 4):
        empty = told(a, b, **{"a/here": here, "b/here": also})
        assert all(np.isfinite(list(empty.values()))) and empty["rank/a"] == empty["hit/a-b"] == empty["chance/a-b"] == 0


def test_of_a_large_batch_the_first_rows_are_looked_at_and_all_are_counted():
    a, b = random(MOST_ROWS + 44, 5), random(MOST_ROWS + 44, 6)
    out, first = told(a, b), told(a[:MOST_ROWS], b[:MOST_ROWS])
    assert abs(out["kin/a-b"]) < 0.05, "unrelated"
    assert out["rows/a-b"] == 300 and out["chance/a-b"] == pytest.approx(np.log(300))
    assert {k: v for k, v in out.items() if k.split("/")[0] not in ("rows", "chance")} == {
        k: v for k, v in first.items() if k.split("/")[0] not in ("rows", "chance")
    }
    x = a[:MOST_ROWS] - a[:MOST_ROWS].mean(0)
    spectrum = np.linalg.svd(x.astype(np.float64), compute_uv=False) ** 2
    assert out["rank/a"] == pytest.approx(spectrum.sum() ** 2 / np.square(spectrum).sum(), rel=1e-4)


def test_the_norms_of_an_update():
    one, off = jnp.ones((2, 4)), jnp.zeros((2, 4))
    half = one * jnp.array([[1.0, 0.0, 0.0, 0.0]])
    gradients = {"encoders.a.x": 3 * half, "encoders.a.y": off, "encoders.b.x": off, "projections.b.k": 4 * one, "scale": one[0]}
    out = of_update(gradients, {name: 2 * one for name in gradients}, {name: 0.1 * one for name in gradients} | {"scale": one[0]})
    assert out["norm/gradient"] == pytest.approx(np.sqrt(18 + 128 + 4)) and out["norm/parameters"] == pytest.approx(np.sqrt(160))
    assert out["norm/step"] == pytest.approx(np.sqrt(0.32 + 4) / np.sqrt(160))
    shares = np.array([np.sqrt(18), np.sqrt(128)]) / (np.sqrt(18) + np.sqrt(128))
    assert [out["gradient/a"], out["gradient/b"]] == pytest.approx(list(shares))
    assert out["still/encoders.a"] == out["still/projections.b"] == 0 and out["still/encoders.b"] == 1
    assert out["silent/a"] == 0.75, "three of four units of one matrix; a matrix that is silent as a whole stands still"
    assert out["silent/b"] == 0 and "gradient/scale" not in out
    idle = of_update(gradients, gradients, gradients | {"projections.b.k": off})
    assert idle["still/projections.b"] == 1, "a gradient that is not used"


def test_rows_that_see_each_other_are_found():
    batch = {name: x[0] for name, x in world(steps=1).items()}
    assert mixes_rows(model(), batch, jax.random.key(0)) == []
    assert mixes_rows(model(image={"mix": 1.0}), batch, jax.random.key(0)) == ["image"]
    assert mixes_rows(model(text={"mix": 0.1}), batch, jax.random.key(0)) == ["text"]
    two = {name: x[:2] for name, x in batch.items()}
    assert mixes_rows(model(text={"mix": 1.0}), two, jax.random.key(0)) == ["text"]
    with pytest.raises(ValueError, match="at least 2"):
        mixes_rows(model(), {name: x[:1] for name, x in batch.items()}, jax.random.key(0))
